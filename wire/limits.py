"""The limits that a field of a record may state, and the checks of single values against them.

Owns the markers and the checks of values that hold no other values; ``wire.records`` puts them together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wire.errors import MalformedMessage, MessageTooLarge, WireError

Check = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Length:
    """The most (and least) characters of a str, bytes of a bytes, or items of a tuple."""

    most: int
    least: int = 0


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest value of a number, both allowed."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Hex:
    """A str of exactly so many lower-case hexadecimal digits."""

    digits: int


class FieldError(Exception):
    """A value that does not fit; its path grows from the inside out, so that a good value pays nothing."""

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.too_large = too_large
        self.steps: list[str] = []

    def as_wire_error(self, where: str) -> WireError:
        """Turn into the error of the tree, with the whole path of the field, which begins with ``where``."""
        text = f"{where}{''.join(reversed(self.steps))} {self.reason}"
        return MessageTooLarge(text) if self.too_large else MalformedMessage(text)


def check_length(size: int, limit: Length, unit: str) -> None:
    """Refuse a size over or under its limit, naming the unit."""
    if size > limit.most:
        raise FieldError(f"has {size} {unit}, and may have {limit.most}", too_large=True)
    if size < limit.least:
        raise FieldError(f"has {size} {unit}, and needs {limit.least}")


def text_check(length: Length | None, digits: Hex | None) -> Check:
    """Make the check of a str: its length in characters, its digits, and that it is Unicode."""

    def check(value: Any) -> str:
        if type(value) is not str:
            raise wrong_type("a string", value)
        if length is not None:
            check_length(len(value), length, "characters")
        if digits is not None and (len(value) != digits.digits or value.strip("0123456789abcdef")):
            raise FieldError(f"must be {digits.digits} lower-case hexadecimal digits")
        if not value.isascii():
            _check_unicode(value)
        return value

    return check


def _check_unicode(value: str) -> None:
    # JSON can spell half a surrogate pair, which no file name and no message can hold.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldError("is not Unicode text") from None


def binary_check(length: Length | None) -> Check:
    """Make the check of a bytes: its length."""

    def check(value: Any) -> bytes:
        if type(value) is not bytes:
            raise wrong_type("bytes", value)
        if length is not None:
            check_length(len(value), length, "bytes")
        return value

    return check


def check_boolean(value: Any) -> bool:
    """Refuse anything but True and False."""
    if type(value) is not bool:
        raise wrong_type("a boolean", value)
    return value


def integer_check(limit: Range | None) -> Check:
    """Make the check of an int: its range."""
    least, most = (limit.least, limit.most) if limit else (-math.inf, math.inf)

    def check(value: Any) -> int:
        # By exact type: a bool is an int to isinstance.
        if type(value) is not int:
            raise wrong_type("an integer", value)
        if not least <= value <= most:
            raise _out_of_range(least, most)
        return value

    return check


def real_check(limit: Range | None) -> Check:
    """Make the check of a finite float: its range; an int becomes a float."""
    least, most = (limit.least, limit.most) if limit else (-math.inf, math.inf)

    def check(value: Any) -> float:
        if type(value) is int:
            value = _as_float(value)
        elif type(value) is not float:
            raise wrong_type("a number", value)
        if not math.isfinite(value):
            raise FieldError("must be a finite number")
        if not least <= value <= most:
            raise _out_of_range(least, most)
        return value

    return check


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise FieldError("must be a finite number") from None


def _out_of_range(least: float, most: float) -> FieldError:
    return FieldError(f"must be between {least} and {most}")


def choice_check(names: tuple[str, ...]) -> Check:
    """Make the check of a str that is one of a few names."""
    if not all(type(name) is str for name in names):
        raise TypeError("a Literal of a record holds strings only")
    allowed = frozenset(names)

    def check(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise FieldError(f"must be one of {', '.join(names)}")
        return value

    return check


def wrong_type(wanted: str, value: object) -> FieldError:
    """Say that a value is not of the type wanted; of the value itself only the type is shown."""
    return FieldError(f"must be {wanted}, not {type(value).__name__}")
