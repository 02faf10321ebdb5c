import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.errors import BundleError
from wire.rans_tables import (
    LOG_BITS,
    MAX_LEVELS,
    TOTAL,
    check_tables,
    cost_bits,
    integer_tables,
    logarithms,
    peaks,
)

bounded = settings(derandomize=True, deadline=None, max_examples=100)

some_counts = st.one_of(st.integers(0, 2**43), st.integers(0, 20), st.just(0))
shapes = st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(2, MAX_LEVELS))
any_counts = shapes.flatmap(lambda shape: hnp.arrays(np.int64, shape, elements=some_counts))


def normalised(*counts):
    """The frequencies of one table."""
    return integer_tables(np.array([[counts]]), np.zeros((1, 1), np.int64))[0, 0, :-1].tolist()


@bounded
@given(any_counts)
def test_any_counts_give_tables_that_a_coder_takes(counts):
    tables = integer_tables(counts, np.zeros(counts.shape[:2], np.int64))
    assert tables.dtype == np.uint16
    assert tables.shape == (*counts.shape[:2], counts.shape[2] + 1)
    check_tables(tables)


@bounded
@given(any_counts)
def test_what_was_counted_more_often_is_never_rarer_and_ties_go_by_magnitude(counts):
    frequencies = integer_tables(counts, np.zeros(counts.shape[:2], np.int64))[..., :-1].astype(int)
    order = np.argsort(-counts, axis=2, kind="stable")
    assert (np.diff(np.take_along_axis(frequencies, order, axis=2), axis=2) <= 0).all()


@bounded
@given(any_counts, st.data())
def test_above_a_peak_nothing_is_possible_and_what_was_counted_there_is_at_the_peak(counts, data):
    counts //= counts.shape[2]  # so that the sum is a count too
    highest = data.draw(hnp.arrays(np.int64, len(counts), elements=st.integers(1, counts.shape[2] - 1)))
    bounds = np.zeros(counts.shape[:2], np.int64)
    tables = integer_tables(counts, bounds, highest)
    check_tables(tables)
    assert peaks(tables).tolist() == highest.tolist()
    clipped = np.where(np.arange(counts.shape[2]) <= highest[:, None, None], counts, 0)
    at_peak = np.take_along_axis(clipped, highest[:, None, None], axis=2) + (counts - clipped).sum(
        axis=2, keepdims=True
    )
    np.put_along_axis(clipped, highest[:, None, None], at_peak, axis=2)
    np.testing.assert_array_equal(tables, integer_tables(clipped, bounds, highest))


def shared_one_by_one(counts):
    """The definition, in plain integers."""
    shared = {number: count for number, count in enumerate(counts) if count > 0}
    while True:
        left, total = TOTAL - len(counts) + len(shared), sum(shared.values())
        enough = {number: count for number, count in shared.items() if count * left >= total}
        if enough == shared:
            break
        shared = enough
    shares = {number: divmod(count * left, total) for number, count in shared.items()}
    by_remainder = sorted(shares, key=lambda number: (-shares[number][1], number))
    up = by_remainder[: left - sum(share for share, _ in shares.values())]
    return [shares[number][0] + (number in up) if number in shares else 1 for number in range(len(counts))]


@settings(bounded, max_examples=40)
@given(any_counts)
def test_what_the_rare_leave_is_shared_by_largest_remainders(counts):
    found = integer_tables(counts, np.zeros(counts.shape[:2], np.int64))[..., :-1]
    rows = counts.reshape(-1, counts.shape[2]).tolist()
    expected = [shared_one_by_one(row) if any(row) else shared_one_by_one([1] * len(row)) for row in rows]
    assert found.reshape(-1, counts.shape[2]).tolist() == expected


def test_a_table_can_be_made_by_hand():
    assert normalised(1, 1, 2, 4) == [512, 512, 1024, 2048]
    assert normalised(1, 1, 1) == [1366, 1365, 1365]
    assert normalised(0, 0) == [2048, 2048]
    assert normalised(0, 7) == [1, 4095]
    assert normalised(10**6, 1, 0) == [4094, 1, 1]
    assert normalised(2**43, 2**43) == [2048, 2048]


def test_the_bounds_are_the_last_column():
    bounds = np.array([[0, 3, 3], [0, 0, 65535]])
    tables = integer_tables(np.ones((2, 3, 4), np.int64), bounds)
    np.testing.assert_array_equal(tables[..., -1], bounds)


@pytest.mark.parametrize("count", [-1, 2**43 + 1])
def test_counts_that_cannot_be_shared_are_our_own_fault(count):
    with pytest.raises(ValueError, match="counts"):
        normalised(count, 1)


@pytest.mark.parametrize("bounds", [[1, 2], [0, -1], [0, 65536], [0, 2**63 - 1]])
def test_bounds_that_no_coder_takes_are_refused(bounds):
    with pytest.raises(BundleError):
        integer_tables(np.ones((1, 2, 4), np.int64), np.array([bounds]))


def test_the_cost_of_levels_is_that_of_their_tables_and_a_bit_a_sign():
    tables = integer_tables(np.array([[[2, 1, 1]]] * 5), np.zeros((5, 1), np.int64))
    levels = np.zeros((5, 1, 2), np.int8)
    levels[0, 0] = [1, -2]
    assert cost_bits(levels, tables) == 8 * 1 + 2 * (2 + 1)


def test_the_cost_of_a_level_is_that_of_its_context():
    counts = np.tile(np.array([[1, 1], [0, 1]]), (5, 1, 1))
    tables = integer_tables(counts, np.array([[0, 2]] * 5))
    levels = np.zeros((5, 1, 1), np.int8)
    levels[0] = levels[4] = 1
    assert cost_bits(levels, tables) == pytest.approx(4 + 2 - math.log2(4095 / 4096))


def test_logarithms_are_exact_to_their_last_place():
    found = logarithms().tolist()
    for value in range(1, 2 * TOTAL):
        exact = math.log2(value) * 2**LOG_BITS
        assert exact - 1.001 < found[value] <= exact + 0.001
