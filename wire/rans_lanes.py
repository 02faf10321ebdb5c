"""The states of interleaved rANS: pushing symbols on them, step by step, and popping them again.

A state has 32 bits and stays at ``LOWEST_STATE`` or above; what runs over is a word of 16 bits. A symbol is a
frequency and a start, of ``TOTAL``; a step is one symbol for every lane, and costs a fixed number of numpy calls.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from wire.errors import TruncatedBitstream
from wire.rans_native import native_lanes
from wire.rans_tables import PRECISION_BITS, TOTAL

WORD_BITS: Final = 16
LOWEST_STATE: Final = 1 << 16

# An entry is frequency << 19 | magnitude << 12 | place of the slot within the magnitude's span.
_MAGNITUDE_SHIFT = 12
_MAGNITUDE_MASK = 127
_FREQUENCY_SHIFT = 19

Words = npt.NDArray[np.uint32]


def push(states: Words, frequencies: Words, starts: Words) -> tuple[Words, Words]:
    """Push symbols, uint32 (steps, lanes), on the states (lanes,), the last step first.

    Gives the states and the words (n,), both uint32, in the order in which they are popped. A symbol of frequency
    ``TOTAL`` and start 0 changes nothing.
    """
    native = native_lanes()
    return native.push(states, frequencies, starts) if native else push_by_numpy(states, frequencies, starts)


def push_by_numpy(states: Words, frequencies: Words, starts: Words) -> tuple[Words, Words]:
    """Do as ``push`` does, where there is no compiled loop."""
    # Kept for all steps, so that the words are picked out in one go.
    history = np.empty((len(frequencies) + 1, states.size), np.uint32)
    history[-1] = states
    fits = np.empty(frequencies.shape, np.bool_)
    # The highest state that fits, not the lowest that does not: for TOTAL that would be 2**32.
    highest = (frequencies << np.uint32(32 - PRECISION_BITS)) - np.uint32(1)
    gaps = TOTAL - frequencies
    # An array as operand is twice as fast as a number, here and in Lanes.
    word_bits = np.full(states.size, WORD_BITS, np.uint32)
    state, quotient = np.empty_like(states), np.empty_like(states)
    forward = (frequencies, gaps, starts, highest, fits, history[1:], history[:-1])
    for frequency, gap, start, limit, fit, before, after in zip(*(rows[::-1] for rows in forward), strict=True):
        np.less_equal(before, limit, fit)
        np.right_shift(before, word_bits, state)
        np.putmask(state, fit, before)
        # state // frequency * TOTAL + start + state % frequency, with one division.
        np.floor_divide(state, frequency, quotient)
        np.multiply(quotient, gap, quotient)
        np.add(state, start, state)
        np.add(state, quotient, after)
    return history[0], history[1:][~fits] & np.uint32(0xFFFF)


class Lanes:
    """States (lanes,) and words (n,), both uint32, from which magnitudes are popped.

    ``entries`` is what ``slot_entries`` gives. ``states`` changes in place; ``read`` counts the words that are used up.
    """

    def __init__(self, states: Words, words: Words, entries: Words) -> None:
        self.states = states
        self.read = 0
        self._words = words
        self._entries = entries
        self._slot_bits, self._precision, self._frequency_shift, self._lowest, self._word_bits = (
            np.full(states.size, value, np.uint32)
            for value in (TOTAL - 1, PRECISION_BITS, _FREQUENCY_SHIFT, LOWEST_STATE, WORD_BITS)
        )

    def pop(self, rows: Words) -> Words:
        """Pop the magnitudes of symbols that were pushed by these rows of the tables: uint32 (steps, lanes), both.

        Raises TruncatedBitstream when words are missing.
        """
        native = native_lanes()
        if native is None:
            return self.pop_by_numpy(rows)
        found, used = native.pop(self.states, rows, self._entries, self._words[self.read :])
        if used < 0:
            raise _ended()
        self.read += used
        return found

    def pop_by_numpy(self, rows: Words) -> Words:
        """Do as ``pop`` does, where there is no compiled loop."""
        found = np.empty(rows.shape, np.uint32)
        states, words, entries, read = self.states, self._words, self._entries, self.read
        slot_bits, precision, frequency_shift = self._slot_bits, self._precision, self._frequency_shift
        lowest, word_bits = self._lowest, self._word_bits
        work, low = np.empty_like(states), np.empty(states.size, np.bool_)
        for slots, entry in zip(rows << np.uint32(PRECISION_BITS), found, strict=True):
            np.bitwise_and(states, slot_bits, work)
            np.add(slots, work, work)
            # Nothing is out of range to be clipped; the mode that checks is slower.
            entries.take(work, None, entry, "clip")
            np.right_shift(states, precision, states)
            np.right_shift(entry, frequency_shift, work)
            np.multiply(states, work, states)
            np.bitwise_and(entry, slot_bits, work)
            np.add(states, work, states)
            (at,) = np.less(states, lowest, low).nonzero()
            more = words[read : read + at.size]
            if more.size < at.size:
                raise _ended()
            states[at] = states[at] << word_bits[: at.size] | more
            read += at.size
        self.read = read
        return found >> np.uint32(_MAGNITUDE_SHIFT) & np.uint32(_MAGNITUDE_MASK)


def _ended() -> TruncatedBitstream:
    return TruncatedBitstream("the bitstream ends before its last symbol")


def slot_entries(frequencies: Words) -> Words:
    """List what every slot of tables, uint32 (rows, M), decodes to: uint32 (rows * ``TOTAL``,), 16 KiB a row."""
    rows, levels = frequencies.shape
    spans = frequencies.ravel()
    starts = np.cumsum(spans, dtype=np.uint32) - spans
    places = np.arange(rows * TOTAL, dtype=np.uint32) - np.repeat(starts, spans)
    magnitudes = np.tile(np.arange(levels, dtype=np.uint32), rows)
    symbols = spans << np.uint32(_FREQUENCY_SHIFT) | magnitudes << np.uint32(_MAGNITUDE_SHIFT)
    return np.repeat(symbols, spans) | places
