"""Frames at two rates, what a coder of refinements is made of for them, and how its bytes are read by hand."""

from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rans_one_by_one import OneByOne

from wire.rans_tables import Tables, integer_tables, peaks
from wire.refinement import (
    CLASS_ACTIVITY,
    MAX_LEVEL,
    MAX_SLOPE,
    SYMBOLS,
    Levels,
    RefinementCoder,
    refinement_activity,
    refinement_symbols,
)

Slopes = NDArray[np.int64]

bounded = settings(derandomize=True, deadline=None, max_examples=40)

level_values = st.one_of(st.integers(-3, 3), st.integers(-200, 200), st.integers(-MAX_LEVEL, MAX_LEVEL), st.just(0))
bound_values = st.one_of(st.integers(0, 40), st.integers(0, 2**16 - 1))


class Sample(NamedTuple):
    """Levels that fit, and what a coder of them is made of."""

    tables: Tables
    slopes: Slopes
    coarse: Levels
    fine: Levels

    @property
    def coder(self) -> RefinementCoder:
        return RefinementCoder(self.tables, self.slopes)


@st.composite
def tables_of_coders(draw: st.DrawFn) -> Tables:
    channels, ways = draw(st.tuples(st.integers(1, 6), st.integers(1, 5)))
    counts = st.one_of(st.integers(0, 1000), st.just(0), st.integers(0, 40).map(lambda power: 2**power))
    bounds = np.sort(draw(hnp.arrays(np.int64, (channels, ways), elements=bound_values)), axis=1)
    bounds[:, 0] = 0
    highest = np.where(np.arange(channels) < draw(st.integers(1, channels)), SYMBOLS - 1, 0)
    return integer_tables(draw(hnp.arrays(np.int64, (channels, ways, SYMBOLS), elements=counts)), bounds, highest)


@st.composite
def slopes_of(draw: st.DrawFn, channels: int) -> Slopes:
    return draw(hnp.arrays(np.int64, channels, elements=st.integers(1, MAX_SLOPE)))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    tables = draw(tables_of_coders())
    steps = draw(slopes_of(len(tables)))
    shape = (len(tables), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    coarse = draw(hnp.arrays(np.int32, shape, elements=level_values))
    # From symbols, so that all of them come: most of what could be drawn as a level is no symbol.
    symbols = draw(hnp.arrays(np.int32, shape, elements=st.integers(1 - SYMBOLS, SYMBOLS - 1)))
    lowest = (np.abs(coarse.astype(np.int64)) * steps[:, None, None] + 128) // 256 - 3
    fine = np.where(coarse == 0, symbols, np.sign(coarse) * (lowest + np.abs(symbols))).astype(np.int32)
    fine[np.count_nonzero(peaks(tables)) :] = 0
    return Sample(tables, steps, coarse, fine)


def drawn(seed: int, shape: tuple[int, int, int], scale: float, ratio: float, silent: int = 0) -> Sample:
    """One frame quantised twice, and the tables that nine contexts give for it; the last channels are silent."""
    rng = np.random.default_rng(seed)
    busy = np.exp(rng.normal(0, 0.7, (1, *shape[1:])))
    values = rng.laplace(0, 1, shape) * busy * np.linspace(2, 0.2, shape[0])[:, None, None] * scale
    coarse = np.rint(values).astype(np.int32)
    steps = np.full(shape[0], round(ratio * 256))
    coded = shape[0] - silent
    bounds = (np.arange(3)[:, None] * CLASS_ACTIVITY + [0, 4, 16]).ravel()
    context = np.searchsorted(bounds, refinement_activity(coarse), side="right") - 1
    wanted = np.rint(values * ratio).astype(np.int32)
    symbols = np.clip(refinement_symbols(wanted, coarse, steps), 0, SYMBOLS - 1)
    counts = np.ones((shape[0], bounds.size, SYMBOLS), np.int64)
    np.add.at(counts, (np.arange(shape[0])[:, None, None], context, symbols), 16)
    highest = np.where(np.arange(shape[0]) < coded, SYMBOLS - 1, 0)
    tables = integer_tables(counts, np.tile(bounds, (shape[0], 1)), highest)
    return Sample(tables, steps, coarse, RefinementCoder(tables, steps).nearest(wanted, coarse))


def even_tables(channels: int = 1, highest: list[int] | None = None) -> Tables:
    """Three bits a symbol, whatever the coarse levels."""
    most = None if highest is None else np.array(highest)
    return integer_tables(np.ones((channels, 1, SYMBOLS), np.int64), np.zeros((channels, 1), np.int64), most)


def one(level: int) -> Levels:
    return np.full((1, 1, 1), level, np.int32)


def frequencies_at(tables: Tables, coarse: Levels, channel: int, row: int, column: int) -> list[int]:
    """Find the table of one level by the definition, with plain integers."""
    weights = {(0, 0): 2, (-1, 0): 1, (1, 0): 1, (0, -1): 1, (0, 1): 1}
    _, height, width = coarse.shape
    around = 0
    for (down, right), weight in weights.items():
        if 0 <= row + down < height and 0 <= column + right < width:
            around += weight * sum(min(abs(int(level)), 2**14) for level in coarse[:, row + down, column + right])
    activity = min(abs(int(coarse[channel, row, column])), 2) * 2**14 + min(around, 2**14 - 1)
    context = sum(int(bound) <= activity for bound in tables[channel, 1:, -1])
    frequencies: list[int] = tables[channel, context, :-1].tolist()
    return frequencies


def read_one_by_one(data: bytes, tables: Tables, steps: Slopes, coarse: Levels) -> Levels:
    """Decode as the format is described, with plain integers."""
    reader = OneByOne(data)
    fine = np.zeros(coarse.shape, np.int32)
    coded = fine[: np.count_nonzero(peaks(tables))]
    signed = []
    for number, place in enumerate(np.ndindex(coded.shape)):
        symbol = reader.symbol(number, frequencies_at(tables, coarse, *place))
        known = int(coarse[place])
        predicted = (abs(known) * int(steps[place[0]]) + 128) // 256
        coded[place] = symbol if known == 0 else (predicted - 3 + symbol) * (1 if known > 0 else -1)
        if known == 0 and symbol:
            signed.append(place)
    for place, sign in zip(signed, reader.signs(len(signed)), strict=True):
        coded[place] *= sign
    return fine
