import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.service_times import FIRST_ALONE_S, FIRST_RATIO, LEARNED, MOST_SPREAD, OUTLIER, ServiceTimes

bounded = settings(derandomize=True, deadline=None, max_examples=100)


def taught(*batches, times=None):
    times = times or ServiceTimes()
    for frames, seconds in batches:
        times.note(frames, seconds)
    return times


def test_before_anything_was_seen_a_guess_is_made():
    times = ServiceTimes()
    assert times.expected_s(1) == FIRST_ALONE_S
    assert times.expected_s(3) == pytest.approx(FIRST_ALONE_S * (1 + 2 * FIRST_RATIO))


def test_batches_of_several_sizes_teach_what_the_first_frame_costs_and_what_a_further_one():
    times = taught(*[(size, 0.004 + 0.001 * size) for size in (1, 16, 3, 8, 12) * 20])
    assert times.alone_s == pytest.approx(0.005, rel=0.02)
    assert times.further_s == pytest.approx(0.001, rel=0.02)
    assert times.expected_s(16) == pytest.approx(0.020, rel=0.02)
    assert times.spread < 0.05


def test_noise_is_averaged_out_and_its_size_is_known():
    noise = random.Random(0)
    times = taught(*[(size, (0.004 + 0.001 * size) * noise.uniform(0.8, 1.2)) for size in (1, 16, 3, 8, 12) * 200])
    assert times.expected_s(8) == pytest.approx(0.012, rel=0.15)
    assert times.spread == pytest.approx(0.1, rel=0.5)
    assert times.expected_s(8, deviations=2.0) == pytest.approx(times.expected_s(8) * (1 + 2 * times.spread))


def test_while_all_batches_are_of_one_size_what_was_known_of_the_ratio_is_kept():
    times = taught(*[(size, 0.004 + 0.001 * size) for size in (1, 16) * 50])
    taught(*[(16, 0.020)] * 300, times=times)
    assert times.expected_s(16) == pytest.approx(0.020, rel=0.02)
    assert times.alone_s / times.expected_s(16) == pytest.approx(0.005 / 0.020, rel=0.1)


def test_a_pause_of_the_machine_counts_as_no_more_than_an_outlier():
    times = taught(*[(1, 0.010)] * 100)
    before_s = times.alone_s
    times.note(1, 30.0)
    assert times.alone_s <= before_s * (1 + (OUTLIER - 1) / 20)


def test_a_machine_that_became_slower_is_believed_after_a_while():
    times = taught(*[(4, 0.010)] * 100, *[(4, 0.100)] * 100)
    assert times.expected_s(4) == pytest.approx(0.100, rel=0.05)


def test_the_first_batches_are_believed_as_they_are():
    assert taught((1, 50 * FIRST_ALONE_S)).alone_s == pytest.approx(50 * FIRST_ALONE_S)
    assert LEARNED > 1


@pytest.mark.parametrize("frames", [1, 16])
def test_two_good_measurements_are_a_beginning_that_no_pause_upsets(frames):
    times = ServiceTimes()
    seconds = 0.010 + (frames - 1) * 0.005
    times.begin(alone_s=0.010, frames=frames, seconds=seconds)
    assert times.alone_s == pytest.approx(0.010, rel=0.02)
    assert times.expected_s(frames) == pytest.approx(seconds, rel=0.02)
    assert times.spread == 0.0
    times.note(frames, 60.0)
    assert times.expected_s(frames) <= seconds * 1.3


def test_a_batch_may_have_as_many_frames_as_are_done_in_time():
    times = taught(*[(size, 0.004 + 0.001 * size) for size in (1, 16) * 100])
    assert times.most_frames(0.0049) == 0.0
    assert times.most_frames(0.0121) == pytest.approx(8, abs=0.2)


sizes_and_seconds = st.tuples(st.integers(1, 64), st.floats(1e-6, 100.0))


@bounded
@given(st.lists(sizes_and_seconds, min_size=1, max_size=80))
def test_whatever_is_seen_a_frame_more_never_costs_less_than_nothing_nor_more_than_the_first(batches):
    times = taught(*batches)
    assert times.alone_s > 0.0
    assert -1e-12 <= times.further_s <= times.alone_s * (1 + 1e-9)
    assert 0.0 <= times.spread <= MOST_SPREAD
    least, most = min(seconds for _, seconds in batches) / 64, max(seconds for _, seconds in batches)
    assert least * 0.99 <= times.expected_s(64) <= 64 * most * 1.01


@bounded
@given(st.lists(sizes_and_seconds, min_size=1, max_size=30), st.floats(1e-5, 10.0))
def test_the_most_frames_and_what_they_take_are_each_others_inverse(batches, within_s):
    times = taught(*batches)
    most = times.most_frames(within_s)
    if most >= 1 and most != float("inf"):
        assert times.expected_s(int(most)) <= within_s * (1 + 1e-9)
        assert times.expected_s(int(most) + 1) >= within_s * (1 - 1e-9)
