"""The integer tables of the rANS coder: checked, made from counts, and what levels cost by them.

A table array has shape (C, K, M + 1): for channel c and context k the frequencies of the magnitudes 0 to M - 1, which
sum to ``TOTAL``, then the least activity under which the context applies. Above a channel's peak, its greatest
magnitude, they are 0: room that is never used would cost every symbol some bits. Channels whose peak is 0 are silent:
they come last, and are not coded at all. Integers only, ties broken by index: the same counts give the same tables on
every platform.
"""

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wire.activity import Levels, activities, contexts
from wire.errors import BundleError

PRECISION_BITS: Final = 12
TOTAL: Final = 1 << PRECISION_BITS
MAX_CHANNELS: Final = 4096
MAX_CONTEXTS: Final = 16
MAX_LEVELS: Final = 128
MAX_BOUND: Final = 2**16 - 1
LOG_BITS: Final = 16

# A count times TOTAL must stay within 63 bits, and so must a sum of MAX_LEVELS counts.
_MAX_COUNT = 2**43

Integers = npt.NDArray[np.integer[Any]]
Tables = npt.NDArray[np.uint16]


def check_tables(tables: Integers) -> None:
    """Raise BundleError, with a way to mend it, unless ``tables`` are such as the module describes."""
    mend = "make the bundle again"
    if not np.issubdtype(tables.dtype, np.integer):
        raise BundleError(f"coder tables must hold integers, not {tables.dtype}", mend=mend)
    if tables.ndim != 3:
        raise BundleError(f"coder tables must have three axes, not {tables.ndim}", mend=mend)
    channels, ways, columns = tables.shape
    if not (1 <= channels <= MAX_CHANNELS and 1 <= ways <= MAX_CONTEXTS and 2 <= columns - 1 <= MAX_LEVELS):
        raise BundleError(
            f"coder tables have shape {tables.shape}; allowed are 1 to {MAX_CHANNELS} channels, 1 to {MAX_CONTEXTS} "
            f"contexts, and 2 to {MAX_LEVELS} magnitudes with one bound",
            mend=mend,
        )
    frequencies, bounds = tables[..., :-1], tables[..., -1]
    # The limit first: a sum of anything larger could run over and look right.
    if int(frequencies.min()) < 0 or int(frequencies.max()) > TOTAL:
        raise BundleError(f"a frequency in a coder table is not between 0 and {TOTAL}", mend=mend)
    if (frequencies.sum(axis=2, dtype=np.int64) != TOTAL).any():
        raise BundleError(f"the frequencies of a coder table do not sum to {TOTAL}", mend=mend)
    possible = frequencies > 0
    highest = peaks(tables)
    if not possible[..., 0].all() or (possible != (np.arange(columns - 1) <= highest[:, None, None])).any():
        raise BundleError(
            "a channel of a coder table must have frequencies for 0 and all else up to its peak, in every context",
            mend=mend,
        )
    if not highest[0] or (np.diff(highest > 0) & (highest[1:] > 0)).any():
        raise BundleError("the silent channels of a coder table do not come last, or all channels are", mend=mend)
    _check_bounds(bounds, mend)


def peaks(tables: Integers) -> npt.NDArray[np.int64]:
    """Give the greatest magnitude that every channel can have: int64 (C,)."""
    found: npt.NDArray[np.int64] = np.count_nonzero(tables[:, 0, :-1], axis=1) - 1
    return found


def _check_bounds(bounds: Integers, mend: str) -> None:
    if int(bounds.min()) < 0 or int(bounds.max()) > MAX_BOUND:
        raise BundleError(f"a bound in a coder table is not between 0 and {MAX_BOUND}", mend=mend)
    if bounds[:, 0].any() or (np.diff(bounds.astype(np.int64), axis=1) < 0).any():
        raise BundleError("the bounds of a channel's contexts do not rise from 0", mend=mend)


def integer_tables(counts: Integers, bounds: Integers, most: Integers | None = None) -> Tables:
    """Make tables, uint16 (C, K, M + 1), from the counts of magnitudes (C, K, M) and the bounds (C, K) of contexts.

    Up to ``most`` (C,), every channel's peak, each frequency is at least 1. What is left is shared in proportion to
    the counts, largest remainders first, ties by magnitude. Where nothing was counted, all magnitudes are equally
    frequent. Counts above a peak are those of the peak, as a coder clips.

    Raises ValueError for counts that are negative or above 2**43, BundleError for tables that no coder takes.
    """
    if int(counts.min()) < 0 or int(counts.max()) > _MAX_COUNT:
        raise ValueError(f"counts must be between 0 and {_MAX_COUNT}")
    *outer, levels = counts.shape
    highest = np.full(outer[0], levels - 1) if most is None else np.clip(most, 0, levels - 1)
    # By the row: a table a channel and context.
    last = np.repeat(highest, outer[1])[:, None]
    possible = np.arange(levels) <= last
    rows = counts.reshape(-1, levels).astype(np.int64)
    clipped = np.where(possible, 0, rows).sum(axis=1, keepdims=True)
    rows = np.where(possible, rows, 0) + np.where(np.arange(levels) == last, clipped, 0)
    rows = np.where(rows.any(axis=1, keepdims=True), rows, possible)
    frequencies = _shared(rows, possible).reshape(*outer, levels)
    tables = np.concatenate([frequencies, bounds.astype(np.int64)[..., None]], axis=2)
    check_tables(tables)
    return tables.astype(np.uint16)


def _too_rare(rows: npt.NDArray[np.int64], possible: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark the magnitudes whose share would be below 1; each that gets 1 leaves less for the others."""
    rare = possible & (rows == 0)
    while True:
        total, left = _remaining(rows, rare)
        more = possible & ~rare & (rows * left < total)
        if not more.any():
            return rare
        rare |= more


def _shared(rows: npt.NDArray[np.int64], possible: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    rare = _too_rare(rows, possible)
    total, left = _remaining(rows, rare)
    frequencies, remainders = np.divmod(np.where(rare, 0, rows) * left, total)
    order = np.argsort(-remainders, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    frequencies += ranks < left - frequencies.sum(axis=1, keepdims=True)
    return np.where(rare, 1, frequencies)


def _remaining(
    rows: npt.NDArray[np.int64], rare: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the counts that are not rare, and the frequency that they share; both (rows, 1)."""
    total = np.where(rare, 0, rows).sum(axis=1, keepdims=True)
    return total, TOTAL - rare.sum(axis=1, keepdims=True, dtype=np.int64)


def cost_bits(levels: Levels, tables: Tables) -> float:
    """Give the ideal length in bits of int8 levels (C, h, w) by their tables, one bit a sign included.

    For measuring only: no coder uses it.
    """
    frequencies, bounds = tables[..., :-1], tables[..., -1]
    found = contexts(activities(levels), bounds)
    channels = np.arange(len(levels))[:, None, None]
    likely = frequencies[channels, found, np.abs(levels.astype(np.int16))]
    return float((PRECISION_BITS - np.log2(likely)).sum() + np.count_nonzero(levels))


def costs(frequencies: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Give what symbols of these frequencies, 1 to TOTAL, add to a state, in units of 2**-``LOG_BITS`` bits."""
    return np.uint32(PRECISION_BITS << LOG_BITS) - logarithms()[frequencies]


@cache
def logarithms() -> npt.NDArray[np.uint32]:
    """Give the binary logarithms of 1 to 2 * TOTAL - 1 in units of 2**-``LOG_BITS``: uint32; entry 0 is 0.

    Found bit by bit by squaring, in integers: a float's last place is not the same everywhere.
    """
    values = np.arange(2 * TOTAL, dtype=np.uint64)
    values[0] = 1
    powers = np.uint64(1) << np.arange(1, PRECISION_BITS + 1, dtype=np.uint64)
    whole = np.searchsorted(powers, values, side="right")
    found = whole.astype(np.uint32)
    mantissas = values << (31 - whole).astype(np.uint64)
    for _ in range(LOG_BITS):
        mantissas = mantissas * mantissas >> np.uint64(31)
        doubled = mantissas >> np.uint64(32)
        mantissas >>= doubled
        found = found << np.uint32(1) | doubled.astype(np.uint32)
    return found
