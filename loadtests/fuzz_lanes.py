"""The loops of rANS under the fuzzer, in C and in numpy: any states, words and rows, and both must do the same."""

import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtests.fuzz_target import ACCEPTED, Target
from wire.errors import TruncatedBitstream
from wire.rans_lanes import LOWEST_STATE, Lanes, push, push_by_numpy, slot_entries
from wire.rans_tables import TOTAL

MAX_LANES: Final = 256
MAX_STEPS: Final = 32

_HEAD = struct.Struct("<BBI")

Words = NDArray[np.uint32]


def lanes(_folder: Path) -> Target:
    """Make the target: lanes - 1, steps - 1 and the seed of the rows, then states of 32 bits and words of 16."""
    frequencies = _frequencies()
    entries = slot_entries(frequencies)

    def run(data: bytes) -> str:
        width, steps, seed = _HEAD.unpack(data[: _HEAD.size].ljust(_HEAD.size, b"\0"))
        body = data[_HEAD.size :].ljust(4 * (width + 1), b"\xff")
        states = np.frombuffer(body, "<u4", width + 1).astype(np.uint32) | np.uint32(LOWEST_STATE)
        rest = body[4 * (width + 1) :]
        words = np.frombuffer(rest, "<u2", len(rest) // 2).astype(np.uint32)
        rng = np.random.default_rng(seed)
        rows = rng.integers(0, len(frequencies), (steps % MAX_STEPS + 1, width + 1)).astype(np.uint32)
        _check_push(states, frequencies, rows, rng)
        return _check_pop(states, words, entries, rows)

    seeds = [_HEAD.pack(width, 3, width) + bytes(range(200)) * 12 for width in (0, 3, 31, MAX_LANES - 1)]
    return Target(run=run, seeds=tuple(seeds))


def _check_pop(states: Words, words: Words, entries: Words, rows: Words) -> str:
    native, plain = Lanes(states.copy(), words, entries), Lanes(states.copy(), words, entries)
    try:
        expected = plain.pop_by_numpy(rows)
    except TruncatedBitstream as error:
        try:
            native.pop(rows)
        except TruncatedBitstream:
            return error.code
        raise AssertionError("C has read words that numpy misses") from None
    found = native.pop(rows)
    assert np.array_equal(found, expected), "C and numpy pop different symbols"
    assert (native.read, native.states.tolist()) == (plain.read, plain.states.tolist()), "C and numpy end differently"
    return ACCEPTED


def _check_push(states: Words, frequencies: Words, rows: Words, rng: np.random.Generator) -> None:
    places = rows.astype(np.intp), rng.integers(0, frequencies.shape[1] // 2, rows.shape)
    starts = (np.cumsum(frequencies, axis=1, dtype=np.uint32) - frequencies)[places]
    found, expected = (way(states, frequencies[places], starts) for way in (push, push_by_numpy))
    assert all(map(np.array_equal, found, expected)), "C and numpy push differently"


def _frequencies() -> Words:
    """Tables of several slopes, and one that changes no state, as lanes with nothing to do have."""
    even = np.full(16, TOTAL // 16, np.uint32)
    steep = np.ones(16, np.uint32)
    steep[0] = TOTAL - 15
    half = np.array([TOTAL // 2, *([TOTAL // 16] * 7), TOTAL // 16, *([0] * 7)], np.uint32)
    return np.stack([even, steep, half, steep])
