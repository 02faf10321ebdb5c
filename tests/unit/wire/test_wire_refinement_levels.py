import numpy as np
import pytest
from hypothesis import given
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
    samples,
    slopes_of,
    tables_of_coders,
)

from wire.errors import BundleError
from wire.rans_tables import Tables, integer_tables, peaks
from wire.refinement import (
    CLASS_ACTIVITY,
    MAX_LEVEL,
    MAX_SLOPE,
    Levels,
    RefinementCoder,
    refinement_activity,
    refinement_symbols,
    slopes,
)

LEAST = -(2**31)
ZEROS = np.zeros((2, 3, 4), np.int32)

far_values = st.one_of(st.integers(-12, 12), st.integers(LEAST + 1, 2**31 - 1))


@st.composite
def levels_that_may_not_fit(draw: st.DrawFn) -> Sample:
    tables = draw(tables_of_coders())
    shape = (len(tables), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    coarse = draw(hnp.arrays(np.int32, shape, elements=level_values))
    fine = draw(hnp.arrays(np.int32, shape, elements=far_values))
    return Sample(tables, draw(slopes_of(len(tables))), coarse, fine)


@bounded
@given(levels_that_may_not_fit())
def test_the_nearest_levels_are_those_that_can_be_coded_and_are_least_far(sample: Sample) -> None:
    nearest = sample.coder.nearest(sample.fine, sample.coarse)
    assert nearest.dtype == np.int32
    coded = np.count_nonzero(peaks(sample.tables))
    for channel, row, column in np.ndindex(sample.fine.shape):
        known, wanted = int(sample.coarse[channel, row, column]), int(sample.fine[channel, row, column])
        predicted = (abs(known) * int(sample.slopes[channel]) + 128) // 256
        sign = -1 if known < 0 else 1
        can = range(-7, 8) if known == 0 else [sign * (predicted + beyond) for beyond in range(-3, 5)]
        expected = min(can, key=lambda level: abs(level - wanted)) if channel < coded else 0
        assert nearest[channel, row, column] == expected


@bounded
@given(levels_that_may_not_fit())
def test_the_nearest_levels_are_their_own_nearest_and_survive_and_no_others_do(sample: Sample) -> None:
    coder = sample.coder
    nearest = coder.nearest(sample.fine, sample.coarse)
    np.testing.assert_array_equal(coder.nearest(nearest, sample.coarse), nearest)
    np.testing.assert_array_equal(coder.decode(coder.encode(nearest, sample.coarse), sample.coarse), nearest)
    if (nearest != sample.fine).any():
        with pytest.raises(ValueError, match="too far"):
            coder.encode(sample.fine, sample.coarse)


@bounded
@given(samples())
def test_symbols_are_distances_from_the_lowest_level_there_is(sample: Sample) -> None:
    symbols = refinement_symbols(sample.fine, sample.coarse, sample.slopes)
    coded = np.count_nonzero(peaks(sample.tables))
    lowest = (np.abs(sample.coarse.astype(np.int64)) * sample.slopes[:, None, None] + 128) // 256 - 3
    expected = np.where(sample.coarse == 0, np.abs(sample.fine), np.abs(sample.fine - np.sign(sample.coarse) * lowest))
    np.testing.assert_array_equal(symbols[:coded], expected[:coded])
    both = refinement_symbols(np.stack([sample.fine] * 2), np.stack([sample.coarse] * 2), sample.slopes)
    np.testing.assert_array_equal(both, np.stack([symbols] * 2))


@bounded
@given(samples())
def test_the_table_of_a_level_is_that_of_its_own_coarse_level_and_of_those_beside_it(sample: Sample) -> None:
    activity = refinement_activity(sample.coarse)
    assert activity.dtype == np.int32
    for place in np.ndindex(sample.coarse.shape):
        context = np.searchsorted(sample.tables[place[0], :, -1], activity[place], side="right") - 1
        expected = frequencies_at(sample.tables, sample.coarse, *place)
        assert sample.tables[place[0], context, :-1].tolist() == expected
    np.testing.assert_array_equal(refinement_activity(sample.coarse[None])[0], activity)


def test_an_activity_can_be_found_by_hand() -> None:
    coarse = np.array([[[0, 1, -2], [0, 0, 5]], [[0, 0, 0], [-3, 0, 0]]], np.int32)
    around = np.array([[4, 4, 10], [6, 9, 12]])
    own = np.array([[[0, 1, 2], [0, 0, 2]], [[0, 0, 0], [2, 0, 0]]])
    np.testing.assert_array_equal(refinement_activity(coarse), own * CLASS_ACTIVITY + around)


def test_the_greatest_activity_that_there_can_be_does_not_run_over() -> None:
    coarse = np.full((4096, 3, 3), -MAX_LEVEL, np.int32)
    assert (refinement_activity(coarse) == 3 * CLASS_ACTIVITY - 1).all()


def test_slopes_are_ratios_of_gains_in_units_of_a_256th() -> None:
    fine, coarse = np.array([2, 1, 0.75, 1, 1, 1e38], np.float32), np.array([1, 3, 0.5, 256, 600, 1e-38], np.float32)
    found = slopes(fine, coarse)
    assert found.dtype == np.int64
    assert found.tolist() == [512, 85, 384, 1, 0, MAX_SLOPE + 1]


def test_a_fine_level_in_a_silent_channel_is_our_own_fault() -> None:
    coder = RefinementCoder(even_tables(2, [7, 0]), np.full(2, 512))
    fine, coarse = np.zeros((2, 2, 2), np.int32), np.zeros((2, 2, 2), np.int32)
    fine[1, 1, 0] = 1
    assert not coder.nearest(fine, coarse).any()
    with pytest.raises(ValueError, match="too far"):
        coder.encode(fine, coarse)


@pytest.mark.parametrize(
    ("fine", "known"),
    [
        (8, 0), (-8, 0), (-(2**31), 0), (2**31 - 1, 0), (-2, 1), (7, 1), (2, -1), (-7, -1), (-(2**31), 1),
        (2**31 - 1, -1), (2 * MAX_LEVEL + 5, MAX_LEVEL), (2 * MAX_LEVEL - 4, MAX_LEVEL), (-(2**31), -MAX_LEVEL),
    ],
)  # fmt: skip
def test_a_level_too_far_from_what_the_coarse_one_predicts_is_our_own_fault(fine: int, known: int) -> None:
    with pytest.raises(ValueError, match="too far"):
        RefinementCoder(even_tables(), np.array([512])).encode(one(fine), one(known))


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        (ZEROS[:1], ZEROS[:1]),
        (ZEROS[:1], ZEROS),
        (ZEROS, ZEROS[:1]),
        (ZEROS, ZEROS[:, :2]),
        (ZEROS[:, :, :2], ZEROS),
        (ZEROS, ZEROS[None]),
        (ZEROS[0], ZEROS[0]),
        (np.zeros(2, np.int32), np.zeros(2, np.int32)),
        (np.zeros((), np.int32), np.zeros((), np.int32)),
        (ZEROS[:, :0], ZEROS[:, :0]),
        (ZEROS[:, :, :0], ZEROS[:, :, :0]),
        (ZEROS.astype(np.int8), ZEROS),
        (ZEROS, ZEROS.astype(np.int8)),
        (ZEROS.astype(np.int64), ZEROS),
        (ZEROS.astype(np.uint32), ZEROS),
        (ZEROS, ZEROS.astype(np.float32)),
        (ZEROS, ZEROS + np.int32(MAX_LEVEL + 1)),
        (ZEROS, ZEROS - np.int32(MAX_LEVEL + 1)),
    ],
)
def test_levels_that_are_not_of_the_coder_are_our_own_fault(fine: Levels, coarse: Levels) -> None:
    coder = RefinementCoder(even_tables(2), np.full(2, 512))
    with pytest.raises(ValueError, match="levels must"):
        coder.encode(fine, coarse)
    with pytest.raises(ValueError, match="levels must"):
        coder.nearest(fine, coarse)


@pytest.mark.parametrize(
    "coarse",
    [
        ZEROS[:1],
        ZEROS[None],
        ZEROS[0],
        ZEROS[:, :0],
        ZEROS.astype(np.int8),
        ZEROS.astype(np.int64),
        ZEROS.astype(np.float32),
        ZEROS + np.int32(MAX_LEVEL + 1),
        ZEROS - np.int32(MAX_LEVEL + 1),
    ],
)
def test_nothing_is_read_beside_coarse_levels_that_are_not_of_the_coder(coarse: Levels) -> None:
    coder = RefinementCoder(even_tables(2), np.full(2, 512))
    with pytest.raises(ValueError, match="levels must"):
        coder.decode(coder.encode(ZEROS, ZEROS), coarse)


def test_views_are_coded_like_their_copies() -> None:
    sample = drawn(4, (5, 4, 6), 1, 2)
    fine, coarse = np.asfortranarray(sample.fine), np.asfortranarray(sample.coarse)
    assert sample.coder.encode(fine, coarse) == sample.coder.encode(sample.fine, sample.coarse)
    np.testing.assert_array_equal(sample.coder.nearest(fine, coarse), sample.fine)


def test_levels_beside_a_view_are_read_like_those_beside_its_copy() -> None:
    sample = drawn(4, (5, 4, 6), 1, 2)
    stream = sample.coder.encode(sample.fine, sample.coarse)
    np.testing.assert_array_equal(sample.coder.decode(stream, np.asfortranarray(sample.coarse)), sample.fine)


def test_the_levels_given_are_left_as_they_are() -> None:
    sample = drawn(4, (5, 4, 6), 1, 2)
    fine, coarse = sample.fine.copy(), sample.coarse.copy()
    fine.flags.writeable = coarse.flags.writeable = False
    stream = sample.coder.encode(sample.coder.nearest(fine, coarse), coarse)
    assert sample.coder.decode(stream, coarse).flags.writeable


@pytest.mark.parametrize("symbols", [2, 7, 9, 128])
def test_tables_of_any_other_number_of_symbols_are_refused_with_a_way_to_mend_it(symbols: int) -> None:
    tables = integer_tables(np.ones((3, 2, symbols), np.int64), np.zeros((3, 2), np.int64))
    with pytest.raises(BundleError, match=f"have 8 symbols, not {symbols}") as caught:
        RefinementCoder(tables, np.full(3, 512))
    assert caught.value.mend


@pytest.mark.parametrize(
    "tables",
    [
        even_tables().astype(np.float32),
        even_tables()[0],
        even_tables()[:0],
        even_tables()[:, :0],
        even_tables() + np.uint16(1),
        np.array([[[4096, *[0] * 8]]]),
        np.array([[[512] * 8 + [1]]]),
        np.array([[[4096, *[0] * 8]], [[512] * 8 + [0]]]),
    ],
)
def test_tables_that_cannot_be_used_are_refused_with_a_way_to_mend_it(tables: Tables) -> None:
    with pytest.raises(BundleError) as caught:
        RefinementCoder(tables, np.full(max(len(tables), 1), 512))
    assert caught.value.mend


@pytest.mark.parametrize("peak", range(1, 7))
def test_tables_that_lack_symbols_are_refused(peak: int) -> None:
    with pytest.raises(BundleError):
        RefinementCoder(even_tables(2, [7, peak]), np.full(2, 512))


@pytest.mark.parametrize(
    "steps",
    [
        [0, 512, 512],
        [512, -1, 512],
        [512, 512, MAX_SLOPE + 1],
        [512, 2**62, 512],
        [512, 512],
        [512, 512, 512, 512],
        [[512, 512, 512]],
        512,
    ],
)
def test_slopes_out_of_range_are_refused_with_a_way_to_mend_it(steps: object) -> None:
    for highest in ([7, 7, 7], [7, 7, 0]):
        with pytest.raises(BundleError, match="slopes of a refinement with 3 channels") as caught:
            RefinementCoder(even_tables(3, highest), np.array(steps))
        assert caught.value.mend


def test_slopes_at_the_ends_of_their_range_are_taken() -> None:
    coder = RefinementCoder(even_tables(2), np.array([1, MAX_SLOPE], np.uint16))
    coarse = np.array([[[127]], [[-127]]], np.int32)
    assert coder.nearest(np.zeros_like(coarse), coarse).tolist() == [[[0]], [[-(127 * MAX_SLOPE // 256 - 3)]]]


def test_the_level_whose_magnitude_int32_cannot_hold_is_no_coarse_one() -> None:
    coder = RefinementCoder(even_tables(2), np.full(2, 512))
    coarse = np.array([[[LEAST]], [[3]]], np.int32)
    with pytest.raises(ValueError, match="levels must"):
        coder.decode(b"\x00" * 20, coarse)


def test_the_nearest_to_the_least_level_of_all_is_the_lowest_one() -> None:
    coder = RefinementCoder(even_tables(), np.array([512]))
    assert coder.nearest(one(LEAST), one(-1)).tolist() == coder.nearest(one(LEAST + 1), one(-1)).tolist()
