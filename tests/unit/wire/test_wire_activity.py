import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.activity import GROUP, activities, contexts

bounded = settings(derandomize=True, deadline=None, max_examples=60)

shapes = st.tuples(st.integers(1, 11), st.integers(1, 5), st.integers(1, 5))
any_levels = shapes.flatmap(lambda shape: hnp.arrays(np.int8, shape, elements=st.integers(-127, 127)))


def activity_at(levels, group, row, column):
    """The definition, one position at a time."""
    earlier = np.abs(levels[: group * GROUP].astype(int)).sum(axis=0)
    weights = {(0, 0): 2, (-1, 0): 1, (1, 0): 1, (0, -1): 1, (0, 1): 1}
    places = {(row + dy, column + dx): weight for (dy, dx), weight in weights.items()}
    return sum(
        weight * earlier[place]
        for place, weight in places.items()
        if 0 <= place[0] < earlier.shape[0] and 0 <= place[1] < earlier.shape[1]
    )


@bounded
@given(any_levels)
def test_an_activity_counts_earlier_groups_here_twice_and_beside_once(levels):
    found = activities(levels)
    assert found.dtype == np.int32
    assert found.shape == (-(-len(levels) // GROUP), *levels.shape[1:])
    for at in np.ndindex(found.shape):
        assert found[at] == activity_at(levels, *at)


def test_the_greatest_activity_that_there_can_be_does_not_run_over():
    levels = np.full((4096, 3, 3), -127, np.int8)
    assert activities(levels)[-1, 1, 1] == 6 * 127 * 4092


def test_a_context_is_the_last_whose_bound_is_reached():
    activity = np.array([[[0, 0, 0]], [[4, 5, 9]]], np.int32)
    bounds = np.array([[0, 1, 2]] * 3 + [[0, 0, 1]] + [[0, 5, 9], [0, 10, 10], [0, 4, 4]], np.uint16)
    found = contexts(activity, bounds)
    assert found.dtype == np.uint8
    assert found[:, 0].tolist() == [[0, 0, 0]] * 3 + [[1, 1, 1]] + [[0, 1, 2], [0, 0, 0], [2, 2, 2]]


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_with_one_context_every_level_is_of_it(channels):
    levels = np.full((channels, 2, 3), 5, np.int8)
    found = contexts(activities(levels), np.zeros((channels, 1), np.uint16))
    assert found.shape == levels.shape
    assert not found.any()
