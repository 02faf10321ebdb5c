"""Changed inputs, the same for the same seed: bits, bytes, numbers and stretches, or whole values of a tree.

Owns what is changed; knows nothing of what the bytes mean.
"""

import struct
from collections.abc import Sequence
from random import Random
from typing import Any, Final

from loadtests.fuzz_target import TreeForm

NUMBERS: Final = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 4095, 4096, 2**15, 2**16 - 1, 2**16, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**53, 2**63 - 1, -(2**31), -(2**63), 0.0, -0.0, 0.5, 1e-320, 3600.0, 1e308, float("inf"), float("-inf"),
    float("nan"),
)  # fmt: skip
"""Where something often ends or begins."""
TEXTS: Final = (
    "",
    "\0",
    "a" * 65,
    "a" * 300,
    "ä€😀",
    "../../etc/passwd",
    "%s%n",
    "0" * 64,
    "\u202e",
    "1e999",
    "f" * 64,
)
ROUNDS: Final = (1, 1, 1, 2, 4)
TREE_SHARE: Final = 0.8
"""Of changes to what is a tree: changed bytes of one are seldom a tree again."""

_WIDTHS = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")


class Mutator:
    """Makes new inputs of old ones."""

    def __init__(self, random: Random, tree: TreeForm | None, most_bytes: int) -> None:
        self._random, self._tree, self._most_bytes = random, tree, most_bytes

    def mutated(self, data: bytes, other: bytes = b"") -> bytes:
        """Change an input in a few places; ``other`` lends stretches of its own."""
        if self._tree is not None and self._random.random() < TREE_SHARE:
            changed = self._mutated_tree(self._tree, data)
            if changed is not None and len(changed) <= self._most_bytes:
                return changed
        return mutated_bytes(data, other, self._random)[: self._most_bytes]

    def _mutated_tree(self, tree: TreeForm, data: bytes) -> bytes | None:
        try:
            value = tree.load(data)
            for _ in range(self._random.choice(ROUNDS)):
                value = mutated_value(value, self._random)
            return tree.dump(value)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None  # not the bytes of a tree, or no longer


def mutated_bytes(data: bytes, other: bytes, random: Random) -> bytes:
    """Change bytes in a few places."""
    changed = bytearray(data)
    for _ in range(random.choice(ROUNDS)):
        _change(changed, other, random)
    return bytes(changed)


def _change(data: bytearray, other: bytes, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((1, 2, 4, 8, 64)))
    match random.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        case 2:
            data[at:end] = b""
        case 3:
            data[at:at] = random.randbytes(end - at or 1)
        case 4:
            data[at:at] = data[at:end]
        case 5:
            number = _packed(random)
            data[at : at + len(number)] = number
        case 6 if other:
            start = random.randrange(len(other))
            stretch = other[start : start + random.choice((1, 4, 16, 256))]
            data[at : at + random.choice((0, len(stretch)))] = stretch
        case _:
            del data[at:]


def _packed(random: Random) -> bytes:
    width = random.choice(_WIDTHS)
    number = int(random.choice(NUMBERS[:24]))
    return struct.pack(width, number % 256 ** struct.calcsize(width))


def mutated_value(value: Any, random: Random) -> Any:
    """Change one value somewhere in a tree of maps and lists; the tree itself stays as it was."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        return _mutated_map(value, random)
    if isinstance(value, list) and value and random.random() < 0.9:
        return _mutated_list(value, random)
    return _replaced(value, random)


def _mutated_map(value: dict[Any, Any], random: Random) -> dict[Any, Any]:
    key = random.choice(list(value))
    changed = dict(value)
    match random.randrange(10):
        case 0:
            del changed[key]
        case 1:
            changed[random.choice(TEXTS)] = changed[key]
        case 2:
            changed[key] = changed[random.choice(list(value))]
        case _:
            changed[key] = mutated_value(value[key], random)
    return changed


def _mutated_list(value: list[Any], random: Random) -> list[Any]:
    at = random.randrange(len(value))
    match random.randrange(8):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return value[:at] + value[at : at + 1] * random.choice((2, 3, 40)) + value[at + 1 :]
        case 2:
            other = random.randrange(len(value))
            return [value[other] if place == at else item for place, item in enumerate(value)]
        case _:
            return [*value[:at], mutated_value(value[at], random), *value[at + 1 :]]


def _replaced(value: Any, random: Random) -> Any:
    """Put another value in the place of one, most often one of the same type."""
    if random.random() < 0.15:
        return random.choice((None, True, [], {}, "", b"", *NUMBERS[:6], [[[[[]]]]], {"": {"": {}}}))
    match value:
        case bool():
            return not value
        case int() | float():
            near = value + random.choice((-1, 1)) if abs(value) < 2**62 else 0
            return random.choice((*NUMBERS, near, near, near))
        case str():
            spoilt = mutated_bytes(value.encode(), b"", random).decode("utf-8", "ignore")
            return random.choice((*TEXTS, spoilt, spoilt, spoilt, spoilt))
        case bytes():
            return mutated_bytes(value, value, random)
        case _:
            return random.choice((*NUMBERS, *TEXTS))


def pick(items: Sequence[bytes], random: Random) -> bytes:
    """Give any of the inputs, or none of nothing."""
    return random.choice(items) if items else b""
