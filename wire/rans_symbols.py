"""Symbols of static tables in interleaved rANS, with a bit as it is for some of them.

    byte 0      lanes - 1
    then        a state of 32 bits for every lane
    then        words of 16 bits, in the order in which the decoder reads them
    then        the signs that the states do not carry, most significant bit first

All little-endian, integers only: the same tables and symbols give the same bytes on every platform. The symbols of a
group are dealt to the lanes in turn, each lane is a coder of its own (Duda, "Asymmetric numeral systems", 2013; Giesen,
"Interleaved entropy coders", 2014), and one numpy operation serves them all.

A lane wastes its first state, a constant, and the room that its last state leaves. Ours begin with signs, which
``wire.rans_seeds`` deals out. Owns the layout; knows neither what a symbol means nor headers.
"""

from functools import cached_property
from math import isqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from wire.errors import CorruptBitstream, TruncatedBitstream
from wire.rans_lanes import LOWEST_STATE, Lanes, Words, push, slot_entries
from wire.rans_seeds import Bits, carried_signs, seeds
from wire.rans_tables import TOTAL, Integers, costs

MAX_LANES: Final = 256

# A state carries 16 signs that it must and 7.5 that it can, on average.
_SIGNS_PER_LANE = 24

Indices = npt.NDArray[np.intp]


class SymbolCoder:
    """Codes symbols by rows of frequencies, an integer array (rows, symbols) of which every row sums to ``TOTAL``.

    A symbol that never comes has the frequency 0; a row may have no frequency of ``TOTAL``, which costs nothing.
    """

    def __init__(self, frequencies: Integers) -> None:
        self.rows, self.symbols = frequencies.shape
        self._least_gap = TOTAL - int(frequencies.max())
        # One row more, whose one symbol changes no state, for lanes that have nothing to do.
        self._frequencies = np.zeros((self.rows + 1, self.symbols), np.uint32)
        self._frequencies[:-1] = frequencies
        self._frequencies[-1, 0] = TOTAL
        self._starts = np.cumsum(self._frequencies, axis=1, dtype=np.uint32) - self._frequencies

    def encode(self, places: Indices, signs: Bits, *, in_group: int) -> bytes:
        """Write symbols in groups of so many, the last perhaps smaller, and the signs (uint8, 0 or 1).

        ``places`` (n,) are those of the symbols in the table: row * symbols + symbol.
        """
        dealt = self._dealt(places, _wanted_lanes(places.size, signs.size), in_group)
        states, carried = seeds(signs, self._costs.take(dealt).sum(axis=0, dtype=np.uint32))
        states, words = push(states, self._frequencies.take(dealt), self._starts.take(dealt))
        head = bytes((states.size - 1,)) + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()
        return head + np.packbits(signs[carried:]).tobytes()

    def open(self, data: bytes | memoryview, symbols: int, *, in_group: int) -> "SymbolReader":
        """Begin to read ``symbols`` symbols, and bound the work by the data before memory is taken.

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: there are too many lanes, or a state is too low.

        """
        body = memoryview(data)
        lanes = body[0] + 1 if body else 1
        head_bytes = 1 + lanes * 4
        if len(body) < head_bytes:
            raise TruncatedBitstream(f"{len(body)} bytes cannot hold the states of {lanes} lanes")
        if lanes > in_group:
            raise CorruptBitstream(f"{lanes} lanes are more than a group has symbols")
        # A symbol takes more than 1 - frequency / TOTAL bits from a state that is at least 16 times TOTAL.
        if symbols * self._least_gap > len(body) * 8 * TOTAL:
            raise TruncatedBitstream(f"{len(body)} bytes cannot hold {symbols} symbols")
        states = np.frombuffer(body[1:head_bytes], "<u4").astype(np.uint32)
        if int(states.min()) < LOWEST_STATE:
            raise CorruptBitstream("the bitstream begins with a state that no coder leaves")
        words = np.frombuffer(body, "<u2", min((len(body) - head_bytes) // 2, symbols), head_bytes).astype(np.uint32)
        return SymbolReader(Lanes(states, words, self._entries), body[head_bytes:], self.rows)

    def _dealt(self, places: Indices, wanted: int, in_group: int) -> Indices:
        """Lay the symbols out as (steps, lanes); every group begins with a step of its own."""
        lanes = min(wanted, MAX_LANES, in_group)
        steps = -(-in_group // lanes)
        lanes = -(-in_group // steps)
        groups = -(-places.size // in_group)
        idle = self.rows * self.symbols
        whole = np.full(groups * in_group, idle, np.intp)
        whole[: places.size] = places
        dealt = np.full((groups, steps * lanes), idle, np.intp)
        dealt[:, :in_group] = whole.reshape(groups, in_group)
        return dealt.reshape(-1, lanes)

    @cached_property
    def _costs(self) -> Words:
        return costs(self._frequencies)

    @cached_property
    def _entries(self) -> Words:
        # Made on the first decode: a device only encodes.
        return slot_entries(self._frequencies)


class SymbolReader:
    """Reads one coded frame: first its symbols, group by group, and then all of its signs."""

    def __init__(self, lanes: Lanes, body: memoryview, idle_row: int) -> None:
        self._lanes, self._body, self._idle_row = lanes, body, idle_row

    def pop(self, rows: Words) -> Words:
        """Read a group of symbols, uint32 (n,), that were coded by these rows.

        Raises TruncatedBitstream when bytes are missing.
        """
        steps = -(-rows.size // self._lanes.states.size)
        dealt = np.full((steps, self._lanes.states.size), self._idle_row, np.uint32)
        dealt.reshape(-1)[: rows.size] = rows
        return self._lanes.pop(dealt).reshape(-1)[: rows.size]

    def signs(self, count: int) -> npt.NDArray[np.bool_]:
        """Read so many signs, with which the frame must end.

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: bytes are left over, or the padding is not zero.

        """
        return carried_signs(self._lanes.states, self._body[self._lanes.read * 2 :], count).view(np.bool_)


def _wanted_lanes(symbols: int, signs: int) -> int:
    """Weigh the bytes that lanes waste against the steps that they save: four steps are worth one byte.

    So much is a step at some 100 kbit/s, on a small device and a server together. A lane filled with signs wastes a
    seventh of a byte, one without signs 3 bytes; at a waste of w, w * lanes + symbols / lanes / 4 is least at the root
    of symbols / 4w.
    """
    filled, empty = isqrt(symbols * 7 // 4), isqrt(symbols // 12)
    return max(min(signs // _SIGNS_PER_LANE, filled), empty, 1)
