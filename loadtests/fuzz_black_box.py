"""What a process does at this moment, kept where its death leaves it: the input under its hands, and since when.

A file that both processes map: a crash of C code, a kill or an endless loop leaves the input to be read. Owns the
layout of that file.
"""

import mmap
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOM_BYTES: Final = 2**21
"""Room for the longest input."""

_HEAD: Final = struct.Struct("<QdI")


@dataclass(frozen=True, slots=True)
class Sight:
    """What the box holds: how many inputs were begun, when the last one was (monotonic; 0 when none runs), and it."""

    begun: int
    since_s: float
    data: bytes


class BlackBox:
    """One process writes; any may read."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it where it is missing."""
        with path.open("a+b") as file:
            file.truncate(_HEAD.size + ROOM_BYTES)
            self._map = mmap.mmap(file.fileno(), _HEAD.size + ROOM_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()

    def begin(self, number: int, data: bytes) -> float:
        """Note that an input is begun; give when."""
        now = time.monotonic()
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._map, 0, number, now, len(data))
        return now

    def end(self, number: int) -> None:
        """Note that no input runs."""
        _HEAD.pack_into(self._map, 0, number, 0.0, 0)

    def look(self) -> Sight:
        """See what is under way."""
        number, since_s, size = _HEAD.unpack_from(self._map, 0)
        return Sight(number, since_s, self._map[_HEAD.size : _HEAD.size + size])
