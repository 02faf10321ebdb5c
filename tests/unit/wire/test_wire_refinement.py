import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from refinement_samples import (
    Sample,
    bounded,
    drawn,
    even_tables,
    frequencies_at,
    level_values,
    one,
    read_one_by_one,
    samples,
)

from wire.errors import BadBitstream, CorruptBitstream, TruncatedBitstream
from wire.rans_tables import integer_tables, peaks
from wire.refinement import MAX_LEVEL, MAX_SLOPE, SYMBOLS, RefinementCoder, refinement_symbols

VECTORS = sorted((Path(__file__).parent / "vectors").glob("refinement-*.npz"))


def ideal_bytes(sample: Sample) -> float:
    """The entropy by the tables, and one bit a sign."""
    bits = 0.0
    coded = np.count_nonzero(peaks(sample.tables))
    symbols = refinement_symbols(sample.fine, sample.coarse, sample.slopes)
    for channel, row, column in np.ndindex(sample.coarse[:coded].shape):
        frequencies = frequencies_at(sample.tables, sample.coarse, channel, row, column)
        bits += 12 - math.log2(frequencies[symbols[channel, row, column]])
    return (bits + np.count_nonzero(sample.fine[sample.coarse == 0])) / 8


@bounded
@given(samples())
def test_any_levels_of_any_tables_survive_the_way_there_and_back(sample: Sample) -> None:
    decoded = sample.coder.decode(sample.coder.encode(sample.fine, sample.coarse), sample.coarse)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, sample.fine)


@settings(bounded, max_examples=20)
@given(samples())
def test_the_bytes_can_be_read_one_symbol_at_a_time(sample: Sample) -> None:
    stream = sample.coder.encode(sample.fine, sample.coarse)
    np.testing.assert_array_equal(read_one_by_one(stream, sample.tables, sample.slopes, sample.coarse), sample.fine)


@pytest.mark.parametrize(
    ("shape", "scale", "ratio", "silent"),
    [
        ((48, 7, 7), 2, 2, 0),
        ((48, 7, 7), 2, 2, 20),
        ((48, 7, 7), 0.1, 4, 47),
        ((50, 14, 14), 1, 2.71, 3),
        ((24, 14, 14), 30, 1, 0),
        ((3, 56, 56), 5, MAX_SLOPE / 256, 0),
        ((1, 1, 1), 5, 2, 0),
        ((1, 40, 1), 5, 0.5, 0),
        ((129, 2, 3), 1, 3, 1),
        ((4, 128, 128), 1, 2, 0),
    ],
)
def test_planes_of_every_kind_survive(shape: tuple[int, int, int], scale: float, ratio: float, silent: int) -> None:
    sample = drawn(5, shape, scale, ratio, silent)
    stream = sample.coder.encode(sample.fine, sample.coarse)
    np.testing.assert_array_equal(sample.coder.decode(memoryview(stream), sample.coarse), sample.fine)


@pytest.mark.parametrize("known", [0, 1, -1, 2, -2, 37, -127, MAX_LEVEL, -MAX_LEVEL])
@pytest.mark.parametrize("slope", [1, 128, 256, 700, MAX_SLOPE])
def test_every_symbol_beside_every_kind_of_coarse_level_survives(known: int, slope: int) -> None:
    coder = RefinementCoder(even_tables(), np.array([slope]))
    predicted = (abs(known) * slope + 128) // 256
    away = range(-7, 8) if known == 0 else range(predicted - 3, predicted + 5)
    fine = np.array([[[level * (-1 if known < 0 else 1) for level in away]]], np.int32)
    coarse = np.full_like(fine, known)
    np.testing.assert_array_equal(coder.nearest(fine, coarse), fine)
    np.testing.assert_array_equal(coder.decode(coder.encode(fine, coarse), coarse), fine)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shape", "scale", "ratio", "silent"),
    [((48, 7, 7), 1.5, 2, 0), ((48, 7, 7), 0.5, 3, 12), ((24, 14, 14), 0.3, 2, 0), ((12, 5, 5), 0.3, 4, 2)],
)
def test_a_stream_is_within_two_hundredths_and_24_bytes_of_what_its_tables_allow(
    shape: tuple[int, int, int], scale: float, ratio: float, silent: int, seed: int
) -> None:
    sample = drawn(seed, shape, scale, ratio, silent)
    assert len(sample.coder.encode(sample.fine, sample.coarse)) < 1.02 * ideal_bytes(sample) + 24


def test_what_is_known_costs_nothing_again() -> None:
    sample = drawn(1, (48, 7, 7), 1.5, 2)
    # Without the coarse levels the same fine ones are a first look: far more of them are not 0, and all have a sign.
    blind = drawn(1, (48, 7, 7), 1.5, 2)._replace(coarse=np.zeros_like(sample.coarse))
    fine = blind.coder.nearest(sample.fine, blind.coarse)
    assert len(sample.coder.encode(sample.fine, sample.coarse)) < 0.6 * len(blind.coder.encode(fine, blind.coarse))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_bytes_of_a_stream_stay_what_they_are(path: Path) -> None:
    with np.load(path) as vector:
        sample = Sample(*(vector[name] for name in Sample._fields))
        stream = vector["stream"].tobytes()
    assert [array.dtype for array in sample] == [np.uint16, np.int64, np.int32, np.int32]
    assert sample.coder.encode(sample.fine, sample.coarse) == stream
    np.testing.assert_array_equal(sample.coder.decode(stream, sample.coarse), sample.fine)
    np.testing.assert_array_equal(read_one_by_one(stream, sample.tables, sample.slopes, sample.coarse), sample.fine)


def test_there_are_vectors() -> None:
    assert len(VECTORS) == 2


def test_a_stream_of_one_lane_can_be_followed_by_hand() -> None:
    coder = RefinementCoder(even_tables(), np.array([384]))

    def first(symbol: int, seed: int = 1 << 16) -> bytes:
        # The slot's highest three bits are the symbol; a step takes them out.
        return b"\x00" + (seed << 3 & ~4095 | symbol << 9 | seed & 511).to_bytes(4, "little")

    assert coder.decode(first(5), one(0)).tolist() == [[[5]]]
    assert coder.decode(first(5, 1 << 16 | 1 << 15), one(0)).tolist() == [[[-5]]]
    # 1.5 is rounded up, and 3 below it is the symbol 0.
    assert coder.decode(first(0), one(1)).tolist() == [[[-1]]]
    assert coder.decode(first(7), one(1)).tolist() == [[[6]]]
    assert coder.decode(first(7), one(-1)).tolist() == [[[-6]]]
    assert coder.decode(first(4), one(-100)).tolist() == [[[-151]]]
    # Beside a coarse level that is not 0 there is no sign, nor beside a symbol 0.
    for symbol, known in ((5, 1), (5, -1), (0, 0)):
        with pytest.raises(CorruptBitstream, match="padding"):
            coder.decode(first(symbol, 1 << 16 | 1 << 15), one(known))


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 7), (30, 14, 14)])
def test_beside_nothing_but_zeros_every_level_has_a_sign(shape: tuple[int, int, int]) -> None:
    coder = RefinementCoder(even_tables(shape[0]), np.full(shape[0], 512))
    coarse = np.zeros(shape, np.int32)
    fine = np.random.default_rng(3).integers(-7, 8, shape, dtype=np.int32)
    np.testing.assert_array_equal(coder.decode(coder.encode(fine, coarse), coarse), fine)
    np.testing.assert_array_equal(coder.decode(coder.encode(coarse, coarse), coarse), coarse)


def test_silent_channels_take_no_bytes_and_are_nothing_when_they_come() -> None:
    some, all_three = (RefinementCoder(even_tables(3, highest), np.full(3, 512)) for highest in ([7, 7, 0], [7, 7, 7]))
    coarse, fine = np.zeros((3, 6, 6), np.int32), np.zeros((3, 6, 6), np.int32)
    fine[:2] = 3
    assert len(some.encode(fine, coarse)) < len(all_three.encode(fine, coarse)) - 9
    two = RefinementCoder(even_tables(2), np.full(2, 512))
    assert two.encode(fine[:2], coarse[:2]) == some.encode(fine, coarse)
    np.testing.assert_array_equal(some.decode(some.encode(fine, coarse), coarse), fine)


def test_a_silent_channel_still_says_what_is_beside_the_others() -> None:
    counts = np.ones((2, 2, SYMBOLS), np.int64)
    counts[:, 0, 1] = counts[:, 1, 2] = 1000
    tables = integer_tables(counts, np.array([[0, 8]] * 2), np.array([7, 0]))
    coder = RefinementCoder(tables, np.full(2, 512))
    fine, coarse = np.full((2, 9, 9), 2, np.int32), np.full((2, 9, 9), 9, np.int32)
    fine[1] = coarse[0] = 0
    stream = coder.encode(fine, coarse)
    assert len(stream) < len(coder.encode(fine, np.zeros_like(coarse))) - 20
    np.testing.assert_array_equal(coder.decode(stream, coarse), fine)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return drawn(2, (6, 7, 7), 0.5, 2.5, silent=1)


def test_a_stream_shortened_anywhere_is_truncated(sample: Sample) -> None:
    coder, stream = sample.coder, sample.coder.encode(sample.fine, sample.coarse)
    for kept in range(len(stream)):
        with pytest.raises(TruncatedBitstream):
            coder.decode(stream[:kept], sample.coarse)


@settings(bounded, max_examples=20)
@given(samples())
def test_any_stream_shortened_anywhere_is_bad(sample: Sample) -> None:
    coder, stream = sample.coder, sample.coder.encode(sample.fine, sample.coarse)
    for kept in range(len(stream)):
        with pytest.raises((TruncatedBitstream, CorruptBitstream)):
            coder.decode(stream[:kept], sample.coarse)


@pytest.mark.parametrize("flipped", [0x01, 0x80, 0xFF])
def test_a_stream_changed_anywhere_is_bad_or_has_other_levels(sample: Sample, flipped: int) -> None:
    coder, stream = sample.coder, sample.coder.encode(sample.fine, sample.coarse)
    for place in range(len(stream)):
        changed = bytearray(stream)
        changed[place] ^= flipped
        try:
            found = coder.decode(bytes(changed), sample.coarse)
        except BadBitstream:
            continue
        np.testing.assert_array_equal(coder.nearest(found, sample.coarse), found)
        assert (found != sample.fine).any()


@bounded
@given(samples(), st.binary(min_size=1, max_size=20))
def test_bytes_left_over_are_corrupt(sample: Sample, more: bytes) -> None:
    with pytest.raises(CorruptBitstream):
        sample.coder.decode(sample.coder.encode(sample.fine, sample.coarse) + more, sample.coarse)


@settings(bounded, max_examples=50)
@given(samples(), st.integers(0, 6), st.binary(max_size=80))
def test_any_bytes_decode_or_are_a_bad_bitstream(sample: Sample, lanes: int, data: bytes) -> None:
    for some in (data, bytes([lanes]) + data):
        try:
            levels = sample.coder.decode(some, sample.coarse)
        except BadBitstream:
            continue
        assert levels.dtype == np.int32
        np.testing.assert_array_equal(sample.coder.nearest(levels, sample.coarse), levels)


@settings(bounded, max_examples=20)
@given(samples(), st.data())
def test_a_stream_beside_other_coarse_levels_decodes_or_is_a_bad_bitstream(sample: Sample, data: st.DataObject) -> None:
    other = data.draw(hnp.arrays(np.int32, sample.coarse.shape, elements=level_values))
    try:
        levels = sample.coder.decode(sample.coder.encode(sample.fine, sample.coarse), other)
    except BadBitstream:
        return
    np.testing.assert_array_equal(sample.coder.nearest(levels, other), levels)


def test_more_lanes_than_a_frame_has_symbols_are_corrupt() -> None:
    with pytest.raises(CorruptBitstream, match="lanes"):
        RefinementCoder(even_tables(), np.array([512])).decode(b"\x04" + b"\xff" * 100, np.zeros((1, 2, 2), np.int32))


def test_a_first_state_that_no_coder_leaves_is_corrupt() -> None:
    with pytest.raises(CorruptBitstream, match="state"):
        RefinementCoder(even_tables(), np.array([512])).decode(b"\x00\xff\xff\x00\x00", one(0))
