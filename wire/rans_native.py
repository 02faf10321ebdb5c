"""The inner loops of rANS in C, where they could be compiled when Isthmus was installed; else numpy does the same.

Owns the loading of ``rans_loops.c``. A device without a compiler loses time, and nothing else.
"""

import ctypes
import sysconfig
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

_SYMBOLS: Final = ("isthmus_rans_push", "isthmus_rans_pop")


class NativeLanes:
    """``push`` and ``pop`` of ``wire.rans_lanes``, each in one call."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Raise AttributeError for a library that is not ours."""
        self._push, self._pop = (getattr(library, name) for name in _SYMBOLS)
        for function in (self._push, self._pop):
            function.restype = ctypes.c_int64
            # Every argument is a count or the address of an array.
            function.argtypes = [ctypes.c_int64] * (6 if function is self._push else 9)

    def push(self, states: Words, frequencies: Words, starts: Words) -> tuple[Words, Words]:
        """Push symbols, uint32 (steps, lanes), on the states (lanes,); as ``wire.rans_lanes.push``."""
        steps, lanes = frequencies.shape
        states, room = np.array(states, np.uint32), np.empty(frequencies.size, np.uint32)
        frequencies, starts = np.ascontiguousarray(frequencies), np.ascontiguousarray(starts)
        count = self._push(steps, lanes, *map(_address, (states, frequencies, starts, room)))
        return states, room[room.size - count :]

    def pop(self, states: Words, rows: Words, entries: Words, words: Words) -> tuple[Words, int]:
        """Pop the symbols, uint32 (steps, lanes), of rows of the tables, and change the states in place.

        Gives the symbols and how many words were used; −1 where one is missing.
        """
        steps, lanes = rows.shape
        rows, symbols = np.ascontiguousarray(rows), np.empty(rows.shape, np.uint32)
        used = self._pop(
            steps, lanes, _address(states), _address(rows), _address(entries), entries.size, _address(words),
            words.size, _address(symbols),
        )  # fmt: skip
        return symbols, used


@cache
def native_lanes() -> NativeLanes | None:
    """Load what was compiled; None where nothing was, or where it is of another machine."""
    path = Path(__file__).with_name("rans_loops" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so"))
    try:
        return NativeLanes(ctypes.CDLL(str(path)))
    except (OSError, AttributeError):
        return None


def _address(array: npt.NDArray[Any]) -> int:
    return array.ctypes.data
