"""Coder tables with contexts, counted from the levels of a sample of frames.

A context is what the bands already coded came to about a position (``wire.activity``), or, for a refinement, what the
coarse levels came to; each band has its own bounds between them. Owns the bounds and the smoothing of the counts.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from wire.activity import GROUP, Levels, activities, contexts
from wire.rans_tables import MAX_LEVELS, Tables, integer_tables
from wire.refinement import CLASS_ACTIVITY, HIGHEST_CLASS, SYMBOLS, refinement_activity, refinement_symbols
from wire.refinement import Levels as RefinedLevels

SHARES: Final = (0.0, 0.4, 0.75)
"""Each context of a band begins above this share of the sample's activities."""
COUNT_WEIGHT: Final = 1024
HEADROOM: Final = 1.2
LEAST_A_FRAME: Final = 0.06
"""A band with fewer levels a frame that are not 0 is not worth the time to code it."""


def context_tables(levels: Levels) -> Tables:
    """Make tables (bands, contexts, magnitudes + 1) for int8 levels (N, bands, h, w).

    A band's peak is a little above what the sample has, since room for more costs every symbol some bits; the last
    bands, which have hardly anything, are silent. The coder clips to the peaks.
    """
    seen = np.abs(levels).max(axis=(0, 2, 3)).astype(np.int64)
    most = np.clip(np.ceil(seen * HEADROOM), 1, MAX_LEVELS - 1).astype(np.int64)
    spoken = np.count_nonzero(levels, axis=(0, 2, 3)) >= LEAST_A_FRAME * len(levels)
    most[1 + max(np.flatnonzero(spoken), default=0) :] = 0
    magnitudes = int(most.max()) + 1
    found = np.stack([activities(frame) for frame in levels])
    bounds = _bounds(found, levels.shape[1])
    bands, ways = bounds.shape
    rows = np.arange(bands)[:, None, None] * ways
    counts = np.zeros(bands * ways * magnitudes, np.int64)
    for frame, activity in zip(levels, found, strict=True):
        symbols = (rows + contexts(activity, bounds)) * magnitudes + np.abs(frame)
        counts += np.bincount(symbols.ravel(), minlength=counts.size)
    return integer_tables(_smoothed(counts.reshape(bands, ways, magnitudes)), bounds, most)


def refinement_tables(fine: RefinedLevels, coarse: RefinedLevels, slopes: NDArray[np.int64]) -> Tables:
    """Make tables (bands, contexts, symbols + 1) of a refinement from int32 levels (N, bands, h, w) of both rates.

    Levels of which there is no symbol are taken as the nearest that has one. The last bands, which have hardly any fine
    levels that are not 0, are silent.
    """
    bands = fine.shape[1]
    spoken = np.count_nonzero(fine, axis=(0, 2, 3)) >= LEAST_A_FRAME * len(fine)
    most = np.where(np.arange(bands) <= max(np.flatnonzero(spoken), default=0), SYMBOLS - 1, 0)
    activity = refinement_activity(coarse)
    around = np.quantile(activity % CLASS_ACTIVITY, SHARES, method="lower").astype(np.int64) + 1
    around[0] = 0
    known = np.arange(HIGHEST_CLASS + 1)[:, None] * CLASS_ACTIVITY
    bounds = np.maximum.accumulate(known + np.minimum(around, CLASS_ACTIVITY - 1), axis=1).ravel()
    context = np.searchsorted(bounds, activity, side="right") - 1
    symbols = np.clip(refinement_symbols(fine, coarse, slopes), 0, SYMBOLS - 1)
    places = (np.arange(bands)[:, None, None] * bounds.size + context) * SYMBOLS + symbols
    counts = np.bincount(places.ravel(), minlength=bands * bounds.size * SYMBOLS)
    counts = counts.reshape(bands, bounds.size, SYMBOLS)
    return integer_tables(_smoothed(counts), np.tile(bounds, (bands, 1)), most)


def _bounds(found: NDArray[np.int32], bands: int) -> NDArray[np.int64]:
    """Find the bounds (bands, contexts) for activities (N, groups, h, w): quantiles, each above the one before it."""
    groups = found.shape[1]
    bounds = np.zeros((groups, len(SHARES)), np.int64)
    for way, share in enumerate(SHARES[1:], start=1):
        quantile = np.quantile(found, share, axis=(0, 2, 3), method="lower")
        bounds[:, way] = np.maximum(quantile + 1, bounds[:, way - 1] + 1)
    return np.repeat(bounds, GROUP, axis=0)[:bands]


def _smoothed(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give every magnitude a little, falling with its size: what a sample does not show may still come."""
    magnitudes = counts.shape[-1]
    return counts * COUNT_WEIGHT + COUNT_WEIGHT // 16 // np.arange(1, magnitudes + 1)
