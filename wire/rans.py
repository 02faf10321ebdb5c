"""Interleaved rANS for quantised levels: magnitudes by static tables and contexts, signs as they are.

    byte 0      lanes - 1
    then        a state of 32 bits for every lane
    then        words of 16 bits, in the order in which the decoder reads them
    then        the signs that the states do not carry, most significant bit first

All little-endian, integers only: the same tables and levels give the same bytes on every platform. The magnitudes of a
group of channels are dealt to the lanes in turn, each lane is a coder of its own (Duda, "Asymmetric numeral systems",
2013; Giesen, "Interleaved entropy coders", 2014), and one numpy operation serves them all.

A lane wastes its first state, a constant, and the room that its last state leaves. Ours begin with signs, which
``wire.rans_seeds`` deals out. Owns the states; knows nothing of headers.
"""

from functools import cached_property
from math import isqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from wire.activity import GROUP, Levels, activities, contexts, reached, spread
from wire.errors import CorruptBitstream, TruncatedBitstream
from wire.rans_lanes import LOWEST_STATE, Lanes, Words, push, slot_entries
from wire.rans_seeds import carried_signs, seeds
from wire.rans_tables import TOTAL, Integers, check_tables, costs, peaks

MAX_LANES: Final = 256

# A state carries 16 signs that it must and 7.5 that it can, on average.
_SIGNS_PER_LANE = 24

Indices = npt.NDArray[np.intp]


class RansCoder:
    """Codes int8 levels (C, h, w) with a table for every channel and context.

    ``tables`` is an integer array of shape (C, K, M + 1) as ``wire.rans_tables`` describes it: 1 to 4096 channels, 1 to
    16 contexts, M from 2 to 128 magnitudes. Raises BundleError for anything else.
    """

    def __init__(self, tables: Integers) -> None:
        check_tables(tables)
        self.channels, self.contexts, self.levels = tables.shape[0], tables.shape[1], tables.shape[2] - 1
        self.peaks = peaks(tables)
        """The greatest magnitude of every channel, int64 (C,); 0 for the silent ones."""
        self._coded = int(np.count_nonzero(self.peaks))
        tables = tables[: self._coded]
        self._bounds = tables[..., -1].astype(np.int32)
        self._rows = self._coded * self.contexts
        self._first_rows = np.arange(0, self._rows, self.contexts, dtype=np.uint32)[:, None, None]
        self._least_gap = TOTAL - int(tables[..., :-1].max())
        # One row more, whose one symbol changes no state, for lanes that have nothing to do.
        self._frequencies = np.zeros((self._rows + 1, self.levels), np.uint32)
        self._frequencies[:-1] = tables[..., :-1].reshape(self._rows, self.levels)
        self._frequencies[-1, 0] = TOTAL
        self._starts = np.cumsum(self._frequencies, axis=1, dtype=np.uint32) - self._frequencies

    def encode(self, levels: Levels) -> bytes:
        """Write int8 levels (C, h, w), h and w at least 1, of magnitudes up to the peak of their channel.

        Raises ValueError for another shape or dtype, or for a greater magnitude.
        """
        if levels.ndim != 3 or levels.shape[0] != self.channels or levels.size == 0 or levels.dtype != np.int8:
            raise ValueError(f"levels must be int8 of shape ({self.channels}, h, w), not {levels.dtype} {levels.shape}")
        # -128 has no positive int8; read as uint8 it is 128, and too great.
        magnitudes = np.abs(levels).view(np.uint8)
        self._check_peaks(magnitudes)
        levels = levels[: self._coded]
        symbols = self._symbols(levels, magnitudes[: self._coded])
        signs = (levels < 0)[levels != 0].view(np.uint8)
        dealt = self._dealt(symbols, _wanted_lanes(levels.size, signs.size), self._group_symbols(*levels.shape[1:]))
        states, carried = seeds(signs, self._costs.take(dealt).sum(axis=0, dtype=np.uint32))
        states, words = push(states, self._frequencies.take(dealt), self._starts.take(dealt))
        head = bytes((states.size - 1,)) + states.astype("<u4").tobytes() + words.astype("<u2").tobytes()
        return head + np.packbits(signs[carried:]).tobytes()

    def _check_peaks(self, magnitudes: npt.NDArray[np.uint8]) -> None:
        highest = magnitudes.max(axis=(1, 2))
        if (highest > self.peaks).any():
            channel = int((highest > self.peaks).argmax())
            raise ValueError(
                f"a level of magnitude {highest[channel]} is outside the table of channel {channel}, "
                f"which ends at {self.peaks[channel]}"
            )

    def _symbols(self, levels: Levels, magnitudes: npt.NDArray[np.uint8]) -> Indices:
        """Give every coded level the number of its table and magnitude: (coded * h * w,), row * M + magnitude."""
        symbols = contexts(activities(levels), self._bounds).astype(np.intp)
        symbols += self._first_rows
        symbols *= self.levels
        symbols += magnitudes
        return symbols.ravel()

    def _dealt(self, symbols: Indices, wanted: int, in_group: int) -> Indices:
        """Lay the symbols out as (steps, lanes); every group begins with a step of its own."""
        lanes = min(wanted, MAX_LANES, in_group)
        steps = -(-in_group // lanes)
        lanes = -(-in_group // steps)
        groups = -(-symbols.size // in_group)
        idle = self._rows * self.levels
        whole = np.full(groups * in_group, idle, np.intp)
        whole[: symbols.size] = symbols
        dealt = np.full((groups, steps * lanes), idle, np.intp)
        dealt[:, :in_group] = whole.reshape(groups, in_group)
        return dealt.reshape(-1, lanes)

    def decode(self, data: bytes | memoryview, height: int, width: int) -> Levels:
        """Read int8 levels (C, height, width).

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: a state is too low, bytes are left over, or the padding is not zero.

        """
        if height < 1 or width < 1:
            raise ValueError(f"a plane of {height} by {width} has no levels")
        states, body = self._opened(data, height, width)
        words = np.frombuffer(body, "<u2", min(len(body) // 2, self._coded * height * width)).astype(np.uint32)
        lanes = Lanes(states, words, self._entries)
        magnitudes = self._popped(lanes, height, width)
        levels = magnitudes.view(np.int8)
        places = np.flatnonzero(magnitudes)
        negative = places[carried_signs(states, body[lanes.read * 2 :], places.size).view(np.bool_)]
        levels.reshape(-1)[negative] *= -1
        return levels

    def _opened(self, data: bytes | memoryview, height: int, width: int) -> tuple[Words, memoryview]:
        """Read the states, and bound the work by the data before memory is taken."""
        body = memoryview(data)
        lanes = body[0] + 1 if body else 1
        head_bytes = 1 + lanes * 4
        if len(body) < head_bytes:
            raise TruncatedBitstream(f"{len(body)} bytes cannot hold the states of {lanes} lanes")
        if lanes > self._group_symbols(height, width):
            raise CorruptBitstream(f"{lanes} lanes are more than a group has symbols")
        # A symbol takes more than 1 - frequency / TOTAL bits from a state that is at least 16 times TOTAL.
        symbols = self._coded * height * width
        if symbols * self._least_gap > len(body) * 8 * TOTAL:
            raise TruncatedBitstream(f"{len(body)} bytes cannot hold {symbols} symbols")
        states = np.frombuffer(body[1:head_bytes], "<u4").astype(np.uint32)
        if int(states.min()) < LOWEST_STATE:
            raise CorruptBitstream("the bitstream begins with a state that no coder leaves")
        return states, body[head_bytes:]

    def _popped(self, lanes: Lanes, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Pop the magnitudes (C, h, w), group by group: each gives the contexts of the next."""
        magnitudes = np.zeros((self.channels, height, width), np.uint8)
        coded = magnitudes[: self._coded]
        earlier = np.zeros((height, width), np.int32)
        bounds = np.ascontiguousarray(self._bounds.T[1:, :, None, None])
        for first in range(0, self._coded, GROUP):
            group = coded[first : first + GROUP]
            context = reached(spread(earlier), bounds[:, first : first + GROUP])
            steps = -(-group.size // lanes.states.size)
            rows = np.full((steps, lanes.states.size), self._rows, np.uint32)
            rows.reshape(-1)[: group.size] = (self._first_rows[first : first + GROUP] + context).reshape(-1)
            group[...] = lanes.pop(rows).reshape(-1)[: group.size].reshape(group.shape)
            earlier += np.add.reduce(group, axis=0, dtype=np.int32)
        return magnitudes

    def _group_symbols(self, height: int, width: int) -> int:
        return min(self._coded, GROUP) * height * width

    @cached_property
    def _costs(self) -> Words:
        return costs(self._frequencies)

    @cached_property
    def _entries(self) -> Words:
        # Made on the first decode: a device only encodes.
        return slot_entries(self._frequencies)


def _wanted_lanes(symbols: int, signs: int) -> int:
    """Weigh the bytes that lanes waste against the steps that they save: four steps are worth one byte.

    So much is a step at some 100 kbit/s, on a small device and a server together. A lane filled with signs wastes a
    seventh of a byte, one without signs 3 bytes; at a waste of w, w * lanes + symbols / lanes / 4 is least at the root
    of symbols / 4w.
    """
    filled, empty = isqrt(symbols * 7 // 4), isqrt(symbols // 12)
    return max(min(signs // _SIGNS_PER_LANE, filled), empty, 1)
