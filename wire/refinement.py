"""The refinement of a frame: finer levels of the same values, coded by what the coarser ones already say.

A device that sends a frame again need not send again what is known. A coarse level c predicts the fine one: c times
the slope, the ratio of the two steps, rounded. What is left takes few symbols, with tables by the coarse level itself
and by what the coarse levels around it came to. Beside a coarse 0 the symbol is the fine level's magnitude, with a
sign; beside any other it is the distance from the prediction, away from 0, plus ``CENTRE``. Every coarse level is known
before the first symbol, so that all contexts are found at once. It is successive refinement (Equitz and Cover, 1991)
of quantisers that need not be nested. Integers only. Owns symbols, contexts and predictions; knows no bitstream's
header.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wire.activity import reached, spread
from wire.errors import BundleError
from wire.rans_symbols import Indices, SymbolCoder
from wire.rans_tables import Integers, check_tables, peaks

SYMBOLS: Final = 8
CENTRE: Final = 3
CLASS_ACTIVITY: Final = 2**14
"""What a coarse level's magnitude, 0, 1 or more, adds to the activity around it: every magnitude has its contexts."""
HIGHEST_CLASS: Final = 2
SLOPE_BITS: Final = 8
MAX_SLOPE: Final = 6 << SLOPE_BITS
"""Of steps further apart than this the symbols would often be too few for the fine levels of one coarse level."""
MAX_LEVEL: Final = 2**20
"""A coarse level is within this, as are the levels of four looks; what it predicts is far from running over."""
MAX_FINE: Final = 2**24
"""More than any coarse level predicts."""

_MEND: Final = "make the bundle again"

Levels = npt.NDArray[np.int32]


class RefinementCoder:
    """Codes int32 levels (C, h, w) by coarser ones of the same shape.

    ``tables`` is an integer array of shape (C, K, 9) as ``wire.rans_tables`` describes it, of symbols in the place of
    magnitudes and of activities as ``refinement_activity`` gives them; ``slopes`` are integers (C,), the fine levels to
    a coarse one in units of 1/256. In silent channels all fine levels are 0. Raises BundleError for anything else.
    """

    def __init__(self, tables: Integers, slopes: Integers) -> None:
        check_tables(tables)
        self.channels, contexts, columns = tables.shape
        if columns - 1 != SYMBOLS:
            raise BundleError(f"tables of a refinement have {SYMBOLS} symbols, not {columns - 1}", mend=_MEND)
        if slopes.shape != (self.channels,) or not 1 <= int(slopes.min()) <= int(slopes.max()) <= MAX_SLOPE:
            raise BundleError(
                f"slopes of a refinement with {self.channels} channels are so many numbers from 1 to {MAX_SLOPE}",
                mend=_MEND,
            )
        highest = peaks(tables)
        self._coded = int(np.count_nonzero(highest))
        if (highest[: self._coded] != SYMBOLS - 1).any():
            raise BundleError("a channel of a refinement has tables for some of the symbols only", mend=_MEND)
        tables = tables[: self._coded]
        self._slopes = slopes[: self._coded].astype(np.int64)
        self._bounds = np.ascontiguousarray(tables[..., -1].astype(np.int32).T[1:, :, None, None])
        rows = self._coded * contexts
        self._first_rows = np.arange(0, rows, contexts, dtype=np.uint32)[:, None, None]
        self._symbol_coder = SymbolCoder(tables[..., :-1].reshape(rows, SYMBOLS))

    def nearest(self, fine: Levels, coarse: Levels) -> Levels:
        """Give the levels that can be coded beside ``coarse`` and are nearest to ``fine``; all int32 (C, h, w)."""
        self._check(fine, coarse)
        away, lowest = _lowest(coarse[: self._coded], self._slopes)
        turned = np.where(away == 0, 1, away)
        levels = np.zeros(fine.shape, np.int32)
        # Beside a coarse 0 the lowest level is the highest one's negative.
        least = np.where(away == 0, 1 - SYMBOLS, lowest)
        wanted = turned * np.clip(fine[: self._coded], -MAX_FINE, MAX_FINE)
        levels[: self._coded] = np.clip(wanted, least, lowest + SYMBOLS - 1) * turned
        return levels

    def encode(self, fine: Levels, coarse: Levels) -> bytes:
        """Write levels such as ``nearest`` gives; raises ValueError for others."""
        self._check(fine, coarse)
        levels, known = fine[: self._coded], coarse[: self._coded]
        symbols = refinement_symbols(levels, known, self._slopes)
        if ((symbols < 0) | (symbols >= SYMBOLS)).any() or fine[self._coded :].any():
            raise ValueError("a level is too far from what the coarse one predicts")
        places: Indices = self._rows(coarse).astype(np.intp) * SYMBOLS + symbols
        signs = (levels < 0)[(known == 0) & (levels != 0)].view(np.uint8)
        return self._symbol_coder.encode(places.ravel(), signs, in_group=levels.size)

    def decode(self, data: bytes | memoryview, coarse: Levels) -> Levels:
        """Read the fine levels beside ``coarse``.

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: a state is too low, bytes are left over, or the padding is not zero.

        """
        self._check(coarse, coarse)
        rows = self._rows(coarse)
        reader = self._symbol_coder.open(data, rows.size, in_group=rows.size)
        symbols = reader.pop(rows.reshape(-1)).reshape(rows.shape).astype(np.int32)
        away, lowest = _lowest(coarse[: self._coded], self._slopes)
        levels = np.zeros(coarse.shape, np.int32)
        coded = levels[: self._coded]
        coded[...] = np.where(away == 0, symbols, (lowest + symbols) * away)
        signed = np.flatnonzero((away == 0) & (symbols != 0))
        coded.reshape(-1)[signed[reader.signs(signed.size)]] *= -1
        return levels

    def _check(self, fine: Levels, coarse: Levels) -> None:
        shape = (self.channels, *fine.shape[1:])
        if fine.ndim != 3 or fine.size == 0 or fine.shape != shape or coarse.shape != shape:
            raise ValueError(f"levels must have the shape ({self.channels}, h, w), not {fine.shape} and {coarse.shape}")
        if (
            fine.dtype != np.int32
            or coarse.dtype != np.int32
            or (coarse > MAX_LEVEL).any()
            or (coarse < -MAX_LEVEL).any()
        ):
            raise ValueError(f"levels must be int32, and the coarse ones within {MAX_LEVEL}")

    def _rows(self, coarse: Levels) -> npt.NDArray[np.uint32]:
        """Give the row of the tables for every coded level."""
        activity = refinement_activity(coarse)[: self._coded]
        return self._first_rows + reached(activity, self._bounds)


def refinement_symbols(fine: Levels, coarse: Levels, slopes: Integers) -> Levels:
    """Give the symbols of fine levels beside coarse ones, int32 (..., C, h, w), for slopes (C,).

    A level that is too far from what the coarse one predicts has a symbol below 0, or of ``SYMBOLS`` or more.
    """
    away, lowest = _lowest(coarse, slopes)
    symbols: Levels = np.where(away == 0, np.abs(fine), away * fine - lowest)
    return symbols


def _lowest(coarse: Levels, slopes: Integers) -> tuple[Levels, Levels]:
    """Give the signs of coarse levels, and the fine level away from 0 that has the symbol 0; 0 beside a 0."""
    half = 1 << SLOPE_BITS - 1
    predicted = (np.abs(coarse) * slopes.astype(np.int64)[:, None, None] + half) >> SLOPE_BITS
    return np.sign(coarse), np.where(coarse == 0, 0, predicted - CENTRE).astype(np.int32)


def refinement_activity(coarse: Levels) -> npt.NDArray[np.int32]:
    """Give the activity that the levels beside ``coarse`` (..., C, h, w) are coded under, int32 of the same shape.

    It is the sum of all channels' coarse magnitudes, twice at the position and once at the four beside it, below
    ``CLASS_ACTIVITY``; and this once more for a magnitude of 1 at the level itself, and twice for any greater.
    """
    magnitudes = np.abs(coarse)
    sums = np.minimum(magnitudes, CLASS_ACTIVITY).sum(axis=-3, dtype=np.int32)
    around = np.minimum(spread(sums), CLASS_ACTIVITY - 1)[..., None, :, :]
    found: npt.NDArray[np.int32] = np.minimum(magnitudes, HIGHEST_CLASS) * np.int32(CLASS_ACTIVITY) + around
    return found


def slopes(fine: npt.NDArray[np.floating[Any]], coarse: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
    """Give the slopes of levels made by the gains ``fine`` (C,) beside those made by ``coarse``: int64 (C,)."""
    ratio = np.float64(1 << SLOPE_BITS) * fine.astype(np.float64) / coarse.astype(np.float64)
    return np.rint(np.minimum(ratio, MAX_SLOPE + 1)).astype(np.int64)
