from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rans_one_by_one import OneByOne

from wire.activity import activities, contexts
from wire.errors import BadBitstream, BundleError, CorruptBitstream, TruncatedBitstream
from wire.rans import RansCoder
from wire.rans_tables import cost_bits, integer_tables, peaks

bounded = settings(derandomize=True, deadline=None, max_examples=100)

VECTORS = sorted((Path(__file__).parent / "vectors").glob("rans-*.npz"))


@st.composite
def tables_of_coders(draw, max_channels=10):
    channels, ways, levels = draw(st.tuples(st.integers(1, max_channels), st.integers(1, 4), st.integers(2, 24)))
    counts = st.one_of(st.integers(0, 1000), st.just(0), st.integers(0, 40).map(lambda power: 2**power))
    bounds = np.sort(draw(hnp.arrays(np.int64, (channels, ways), elements=st.integers(0, 60))), axis=1)
    bounds[:, 0] = 0
    highest = draw(hnp.arrays(np.int64, channels, elements=st.integers(1, levels - 1)))
    highest[draw(st.integers(1, channels)) :] = 0
    return integer_tables(draw(hnp.arrays(np.int64, (channels, ways, levels), elements=counts)), bounds, highest)


@st.composite
def tables_and_levels(draw):
    tables = draw(tables_of_coders())
    shape = (len(tables), draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    most = peaks(tables).astype(np.int8)[:, None, None]
    return tables, np.clip(draw(hnp.arrays(np.int8, shape, elements=st.integers(-23, 23))), -most, most)


def drawn(seed, shape, scale, most=15):
    """Levels with busy and quiet places, and the tables that four contexts give for them."""
    rng = np.random.default_rng(seed)
    busy = np.exp(rng.normal(0, 0.7, (1, *shape[1:])))
    levels = np.clip(np.rint(rng.laplace(0, scale, shape) * busy), -most, most).astype(np.int8)
    activity = np.repeat(activities(levels), 4, axis=0)[: len(levels)].reshape(len(levels), -1)
    bounds = np.quantile(activity, [0, 0.25, 0.5, 0.75], axis=1, method="lower").T
    bounds[:, 0] = 0
    counts = np.ones((*bounds.shape, most + 1), np.int64)
    found = contexts(activities(levels), bounds)
    np.add.at(counts, (np.arange(len(levels))[:, None, None], found, np.abs(levels)), 16)
    return integer_tables(counts, bounds), levels


def read_one_by_one(data, tables, height, width):
    """Decode as the format is described, with plain integers."""
    reader = OneByOne(data)
    levels = np.zeros((len(tables), height, width), np.int8)
    coded = levels[: np.count_nonzero(peaks(tables))]
    for first in range(0, len(coded), 4):
        found = contexts(activities(levels), tables[..., -1])
        for number, place in enumerate(np.ndindex(coded[first : first + 4].shape)):
            channel, row, column = first + place[0], *place[1:]
            frequencies = tables[channel, found[channel, row, column], :-1].tolist()
            levels[channel, row, column] = reader.symbol(number, frequencies)
    levels[levels != 0] *= np.array(reader.signs(np.count_nonzero(levels)), np.int8)
    return levels


@bounded
@given(tables_and_levels())
def test_any_levels_of_any_tables_survive_the_way_there_and_back(pair):
    tables, levels = pair
    coder = RansCoder(tables)
    decoded = coder.decode(coder.encode(levels), *levels.shape[1:])
    assert decoded.dtype == np.int8
    np.testing.assert_array_equal(decoded, levels)


@settings(bounded, max_examples=30)
@given(tables_and_levels())
def test_the_bytes_can_be_read_one_symbol_at_a_time(pair):
    tables, levels = pair
    stream = RansCoder(tables).encode(levels)
    np.testing.assert_array_equal(read_one_by_one(stream, tables, *levels.shape[1:]), levels)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((48, 7, 7), 4),
        ((48, 7, 7), 0.3),
        ((50, 14, 14), 2),
        ((24, 14, 14), 30),
        ((3, 56, 56), 5),
        ((1, 1, 1), 5),
        ((1, 40, 1), 5),
        ((129, 2, 3), 1),
        ((4, 256, 256), 1),
    ],
)
def test_planes_of_every_kind_survive(shape, scale):
    tables, levels = drawn(5, shape, scale, most=127)
    coder = RansCoder(tables)
    np.testing.assert_array_equal(coder.decode(memoryview(coder.encode(levels)), *shape[1:]), levels)


def test_every_magnitude_survives_with_the_most_and_the_least_likely_table():
    every = np.arange(-127, 128, dtype=np.int8).reshape(1, 15, 17)
    for likely in (0, 63, 127):
        counts = np.zeros((1, 1, 128), np.int64)
        counts[0, 0, likely] = 1
        coder = RansCoder(integer_tables(counts, np.zeros((1, 1), np.int64)))
        same = np.full((1, 60, 60), -likely, np.int8)
        for levels in (every, same):
            np.testing.assert_array_equal(coder.decode(coder.encode(levels), *levels.shape[1:]), levels)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "scale"), [((48, 7, 7), 3.5), ((48, 7, 7), 9), ((24, 14, 14), 1), ((48, 14, 14), 0.6), ((160, 7, 7), 0.6)]
)
def test_a_stream_of_a_kilobyte_is_within_two_hundredths_of_what_its_tables_allow(shape, scale, seed):
    tables, levels = drawn(seed, shape, scale, most=30)
    ideal_bytes = cost_bits(levels, tables) / 8
    assert ideal_bytes > 900
    assert len(RansCoder(tables).encode(levels)) < 1.02 * ideal_bytes


@pytest.mark.parametrize("scale", [0.25, 0.35, 0.45])
def test_a_sparse_stream_wastes_few_bytes(scale):
    tables, levels = drawn(1, (64, 7, 7), scale)
    assert len(RansCoder(tables).encode(levels)) < cost_bits(levels, tables) / 8 + 32


def test_no_signs_at_all_cost_the_states_only():
    tables, levels = drawn(1, (64, 7, 7), 0.3)
    assert len(RansCoder(tables).encode(np.zeros_like(levels))) < cost_bits(np.zeros_like(levels), tables) / 8 + 64


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_bytes_of_a_stream_stay_what_they_are(path):
    with np.load(path) as vector:
        tables, levels, stream = vector["tables"], vector["levels"], vector["stream"].tobytes()
    assert (tables.dtype, levels.dtype) == (np.uint16, np.int8)
    coder = RansCoder(tables)
    assert coder.encode(levels) == stream
    np.testing.assert_array_equal(coder.decode(stream, *levels.shape[1:]), levels)
    np.testing.assert_array_equal(read_one_by_one(stream, tables, *levels.shape[1:]), levels)


def test_there_are_vectors():
    assert len(VECTORS) == 6


@pytest.fixture(scope="module")
def sample():
    tables, levels = drawn(2, (6, 7, 7), 2)
    coder = RansCoder(tables)
    return coder, levels, coder.encode(levels)


def test_a_stream_shortened_anywhere_is_truncated(sample):
    coder, levels, stream = sample
    for kept in range(len(stream)):
        with pytest.raises(TruncatedBitstream):
            coder.decode(stream[:kept], *levels.shape[1:])


@pytest.mark.parametrize("flipped", [0x01, 0x80, 0xFF])
def test_a_stream_changed_anywhere_is_bad_or_has_other_levels(sample, flipped):
    coder, levels, stream = sample
    for place in range(len(stream)):
        changed = bytearray(stream)
        changed[place] ^= flipped
        try:
            found = coder.decode(bytes(changed), *levels.shape[1:])
        except BadBitstream:
            continue
        assert (found.dtype, found.shape) == (np.int8, levels.shape)
        assert int(np.abs(found.astype(int)).max()) < coder.levels
        assert (found != levels).any()


@bounded
@given(tables_and_levels(), st.binary(min_size=1, max_size=20))
def test_bytes_left_over_are_corrupt(pair, more):
    tables, levels = pair
    coder = RansCoder(tables)
    with pytest.raises(CorruptBitstream):
        coder.decode(coder.encode(levels) + more, *levels.shape[1:])


@settings(bounded, max_examples=150)
@given(
    tables_of_coders(max_channels=6),
    st.integers(0, 6),
    st.binary(max_size=80),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_any_bytes_decode_or_are_a_bad_bitstream(tables, lanes, data, height, width):
    coder = RansCoder(tables)
    for some in (data, bytes([lanes]) + data):
        try:
            levels = coder.decode(some, height, width)
        except BadBitstream:
            continue
        assert levels.shape == (coder.channels, height, width)
        assert int(np.abs(levels.astype(int)).max()) < coder.levels


# One table of two equal magnitudes: one bit a level, the low bits of the state first.
COIN = RansCoder(np.array([[[2048, 2048, 0]]]))


def coins(state, *words):
    return b"\x00" + state.to_bytes(4, "little") + b"".join(word.to_bytes(2, "little") for word in words)


def test_a_stream_of_one_lane_can_be_followed_by_hand():
    # The slot's highest bit is the magnitude; a step takes it out and so halves the state.
    assert COIN.decode(coins(1 << 17), 1, 1).tolist() == [[[0]]]
    # One non-zero level, and a first state of a leading 1 and the sign.
    assert COIN.decode(coins(1 << 17 | 1 << 11), 1, 1).tolist() == [[[1]]]
    assert COIN.decode(coins(1 << 17 | 1 << 16 | 1 << 11), 1, 1).tolist() == [[[-1]]]
    # Below 2**16 a word is read.
    assert COIN.decode(coins(1 << 16 | 1 << 11, 0), 1, 1).tolist() == [[[1]]]


def test_padding_that_is_not_zero_is_corrupt():
    with pytest.raises(CorruptBitstream, match="padding"):
        COIN.decode(coins(1 << 17 | 1 << 15 | 1 << 11), 1, 1)
    # The one lane carries 23 of 40 signs, so that 17 are left for three bytes.
    stream = COIN.encode(np.ones((1, 1, 40), np.int8))
    assert COIN.decode(stream[:-1] + b"\x80", 1, 40)[0, 0, -1] == -1
    for bit in range(7):
        with pytest.raises(CorruptBitstream, match="padding"):
            COIN.decode(stream[:-1] + bytes([1 << bit]), 1, 40)


def test_a_first_state_that_no_coder_leaves_is_corrupt():
    with pytest.raises(CorruptBitstream, match="state"):
        COIN.decode(coins(2**16 - 1, 0), 1, 1)


def test_more_lanes_than_a_group_has_symbols_are_corrupt():
    with pytest.raises(CorruptBitstream, match="lanes"):
        COIN.decode(b"\x04" + b"\xff" * 100, 2, 2)


def test_no_memory_is_taken_for_levels_that_the_data_cannot_hold():
    with pytest.raises(TruncatedBitstream):
        COIN.decode(coins(2**32 - 1) + b"\x00" * 100, 10**9, 10**9)
    likely = RansCoder(np.array([[[4095, 1, 0]]]))
    with pytest.raises(TruncatedBitstream):
        likely.decode(coins(2**32 - 1) + b"\x00" * 100, 10**9, 10**9)
    with pytest.raises(CorruptBitstream):
        COIN.decode(coins(2**32 - 1) + b"\x00" * 10**7, 1, 1)


@pytest.mark.parametrize(
    "levels",
    [
        np.full((1, 1, 1), 2, np.int8),
        np.full((1, 1, 1), -2, np.int8),
        np.full((1, 1, 1), -128, np.int8),
        np.zeros((1, 1, 1), np.uint8),
        np.zeros((1, 1, 1), np.int64),
        np.zeros((2, 1, 1), np.int8),
        np.zeros((1, 1), np.int8),
        np.zeros((1, 0, 3), np.int8),
    ],
)
def test_levels_that_are_not_of_the_coder_are_our_own_fault(levels):
    with pytest.raises(ValueError, match="level"):
        COIN.encode(levels)


def test_the_magnitude_that_int8_cannot_hold_is_outside_the_largest_table():
    coder = RansCoder(integer_tables(np.ones((1, 1, 128), np.int64), np.zeros((1, 1), np.int64)))
    with pytest.raises(ValueError, match="128"):
        coder.encode(np.full((1, 1, 1), -128, np.int8))


@pytest.mark.parametrize(("height", "width"), [(0, 1), (1, 0), (-1, -1)])
def test_a_plane_without_levels_is_our_own_fault(height, width):
    with pytest.raises(ValueError, match="plane"):
        COIN.decode(b"", height, width)


@pytest.mark.parametrize(
    "tables",
    [
        np.array([[[4095, 2, 0]]]),
        np.array([[[4095, 0, 0]]]),
        np.array([[[4096, 0, 0]]]),
        np.array([[[4097, -1, 0]]]),
        np.array([[[2**63 - 1, 2**63 - 1, 0]]]),
        np.array([[[2**64 - 1, 4097, 0]]], np.uint64),
        np.array([[[2048, 2048, 1]]]),
        np.array([[[2048, 2048, 0], [2048, 2048, 5], [2048, 2048, 4]]]),
        np.array([[[2048, 2048, 0], [2048, 2048, 65536]]]),
        np.array([[[2048, 2048, 0], [2048, 2048, -1]]]),
        np.array([[[2048.0, 2048.0, 0]]]),
        np.array([[2048, 2048, 0]]),
        np.full((1, 1, 2), 4096) * [1, 0],
        np.tile([2048, 2048, 0], (4097, 1, 1)),
        np.tile([2048, 2048, 0], (1, 17, 1)),
        np.tile([2048, 2048, 0], (0, 1, 1)),
        np.tile([2048, 2048, 0], (1, 0, 1)),
        np.array([[[4096 - 128, *[1] * 128, 0]]]),
        np.array([[[2048, 0, 2048, 0]]]),
        np.array([[[2048, 2048, 0, 0], [2048, 1024, 1024, 1]]]),
        np.array([[[4096, 0, 0]], [[2048, 2048, 0]]]),
        np.empty((1, 1, 0), np.uint16),
    ],
)
def test_tables_that_cannot_be_used_are_refused_with_a_way_to_mend_it(tables):
    with pytest.raises(BundleError) as caught:
        RansCoder(tables)
    assert caught.value.mend


def test_silent_channels_take_no_bytes_and_are_nothing_when_they_come():
    counts, bounds = np.ones((3, 1, 5), np.int64), np.zeros((3, 1), np.int64)
    some, all_three = (RansCoder(integer_tables(counts, bounds, highest)) for highest in ([4, 4, 0], [4, 4, 4]))
    levels = np.zeros((3, 6, 6), np.int8)
    levels[:2] = 3
    assert len(some.encode(levels)) < len(all_three.encode(levels)) - 9
    assert RansCoder(integer_tables(counts[:2], bounds[:2])).encode(levels[:2]) == some.encode(levels)
    np.testing.assert_array_equal(some.decode(some.encode(levels), 6, 6), levels)


@pytest.mark.parametrize(("channel", "highest"), [(0, [2, 4, 0]), (2, [4, 4, 0])])
def test_a_level_above_the_peak_of_its_channel_is_our_own_fault(channel, highest):
    coder = RansCoder(integer_tables(np.ones((3, 1, 5), np.int64), np.zeros((3, 1), np.int64), highest))
    levels = np.zeros((3, 2, 2), np.int8)
    levels[channel, 1, 0] = -3
    with pytest.raises(ValueError, match=f"magnitude 3 is outside the table of channel {channel}"):
        coder.encode(levels)


def test_a_coder_says_what_it_codes():
    coder = RansCoder(integer_tables(np.ones((3, 2, 9), np.int64), np.zeros((3, 2), np.int64)))
    assert (coder.channels, coder.contexts, coder.levels) == (3, 2, 9)
