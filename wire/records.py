"""A strict codec between frozen dataclasses and the plain values of msgpack and JSON.

A record states its limits in its annotations (``Annotated[str, Length(64)]``); whatever does not fit them
is refused with the path of the field. Owns records and their compiled checks; ``wire.limits`` has the
checks of single values.
"""

from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from wire.limits import (
    Check,
    FieldError,
    Hex,
    Length,
    Range,
    binary_check,
    check_boolean,
    check_length,
    choice_check,
    integer_check,
    real_check,
    text_check,
    wrong_type,
)

__all__ = ["Hex", "Length", "Range", "from_plain", "to_plain"]

Record = TypeVar("Record")


def to_plain(record: Any) -> dict[str, Any]:
    """Turn a record into plain values: nested records become maps and tuples become lists.

    Nothing is checked: a record is built by our own code.
    """
    cls: type = type(record)
    return {name: _plain(getattr(record, name)) for name in _names(cls)}


def from_plain(cls: type[Record], value: object, where: str = "message") -> Record:
    """Build a record of ``cls`` from plain values, refusing whatever its annotations do not allow.

    ``where`` begins the path of a field in an error, as in ``result.timings.queue_s``.

    Raises:
        MessageTooLarge: a string, a byte string or a list is over its length.
        MalformedMessage: a field is unknown, missing, of a wrong type or out of range.

    """
    # To mypy a type[Record] is not hashable, and a type is.
    kind: type = cls
    try:
        record: Record = _record_check(kind)(value)
    except FieldError as refused:
        # The chain of internal frames would only hide the path, which says it all.
        raise refused.as_wire_error(where) from None
    return record


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        # All items are of one type, so the first says whether any of them has to be turned.
        nested = bool(value) and (isinstance(value[0], tuple) or is_dataclass(value[0]))
        return [_plain(item) for item in value] if nested else list(value)
    return to_plain(value) if is_dataclass(value) else value


@cache
def _record_check(cls: type) -> Check:
    hints = get_type_hints(cls, include_extras=True)
    checks = tuple((name, _compile(hints[name])) for name in _names(cls))
    names = frozenset(_names(cls))

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise wrong_type("a map", value)
        if value.keys() != names:
            raise _odd_field(value, names)
        checked = {}
        name = ""
        try:
            for name, field_check in checks:
                checked[name] = field_check(value[name])
        except FieldError as refused:
            refused.steps.append(f".{name}")
            raise
        return cls(**checked)

    return check


def _odd_field(value: dict[Any, Any], names: frozenset[str]) -> FieldError:
    unknown = next((key for key in value if key not in names), None)
    if unknown is None:
        return _at(f".{min(names - value.keys())}", "is missing")
    if isinstance(unknown, str) and unknown.isidentifier() and len(unknown) <= 64:
        return _at(f".{unknown}", "is an unknown field")
    # A key comes from a peer: it is shown, but neither whole nor raw.
    return FieldError(f"has an unknown field {ascii(unknown)[:40]}")


def _at(step: str, reason: str) -> FieldError:
    refused = FieldError(reason)
    refused.steps.append(step)
    return refused


def _compile(hint: Any) -> Check:
    """Make the check of one annotation.

    Raises TypeError for an annotation that this codec does not know: that is a fault of our own.
    """
    if get_origin(hint) is Annotated:
        base, *limits = get_args(hint)
        return _limited(base, limits)
    return _limited(hint, [])


def _limited(hint: Any, limits: list[Any]) -> Check:
    if isinstance(hint, NewType):
        return _limited(hint.__supertype__, limits)
    origin = get_origin(hint)
    check: Check
    if hint is str:
        check = text_check(_taken(limits, Length), _taken(limits, Hex))
    elif hint is bytes:
        check = binary_check(_taken(limits, Length))
    elif hint is bool:
        check = check_boolean
    elif hint is int:
        check = integer_check(_taken(limits, Range))
    elif hint is float:
        check = real_check(_taken(limits, Range))
    elif origin is Literal:
        check = choice_check(get_args(hint))
    elif origin is tuple and len(get_args(hint)) == 2 and get_args(hint)[1] is ...:
        check = _sequence(_compile(get_args(hint)[0]), _taken(limits, Length))
    elif origin in (Union, UnionType):
        check = _optional(get_args(hint))
    elif isinstance(hint, type) and is_dataclass(hint):
        check = _record_check(hint)
    else:
        raise TypeError(f"a record cannot have a field of type {hint}")
    if limits:
        raise TypeError(f"{limits} does not limit a field of type {hint}")
    return check


Marker = TypeVar("Marker")


def _taken(limits: list[Any], kind: type[Marker]) -> Marker | None:
    """Take the marker of one kind out of ``limits``, so that what is left was understood by nobody."""
    for index, limit in enumerate(limits):
        if isinstance(limit, kind):
            limits.pop(index)
            return limit
    return None


def _sequence(item_check: Check, length: Length | None) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise wrong_type("a list", value)
        if length is not None:
            check_length(len(value), length, "items")
        items: list[Any] = []
        try:
            for item in value:
                items.append(item_check(item))
        except FieldError as refused:
            refused.steps.append(f"[{len(items)}]")
            raise
        return tuple(items)

    return check


def _optional(members: tuple[Any, ...]) -> Check:
    some = [member for member in members if member is not NoneType]
    if len(some) != 1 or len(members) != 2:
        raise TypeError(f"a union in a record is a type or None, not {members}")
    inner = _compile(some[0])

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check
