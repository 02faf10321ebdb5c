import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaling_simulation import FRAMES_S, TICK_S, curve, play

from serve_apps.point_config import PointConfig
from serve_apps.scaling import ReplicaLoad, ScalingState, decide, trend_s2

CONFIG = PointConfig(min=1, max=8)


def load(busy=0.0, *, queue_s=0.0, arrived_s=None, answered_s=None, idle_s=0.0):
    frames_s = busy * FRAMES_S
    arrived_s = frames_s if arrived_s is None else arrived_s
    answered_s = frames_s if answered_s is None else answered_s
    return ReplicaLoad(busy, queue_s, arrived_s, answered_s, 5, idle_s)


def after(seconds, loads, *, config=CONFIG, target=1, running=None, state=None, from_s=0.0):
    """Give the target after the same report for some seconds."""
    state = state or ScalingState()
    for tick in range(int(seconds / TICK_S) + 1):
        target, state = decide(
            state, loads, running=len(loads) if running is None else running, target=target, config=config,
            now_s=from_s + tick * TICK_S,
        )  # fmt: skip
    return target, state


@pytest.mark.parametrize(
    ("name", "most_changes"), [("ramp", 8), ("spike", 10), ("diurnal", 18), ("steady", 4), ("bursts", 3), ("night", 2)]
)
def test_on_each_load_curve_the_number_changes_seldom_stays_in_bounds_and_does_not_swing(name, most_changes):
    outcome = play(curve(name), CONFIG)
    assert 1 <= min(outcome.targets) <= max(outcome.targets) <= 8
    assert len(outcome.changes) <= most_changes
    assert outcome.swings == 0


@pytest.mark.parametrize("name", ["ramp", "diurnal", "bursts", "night"])
def test_a_load_that_rises_no_faster_than_replicas_start_is_met_before_frames_wait(name):
    outcome = play(curve(name), CONFIG)
    assert outcome.late / outcome.frames < 0.005
    assert outcome.refused == 0


def test_a_spike_to_nine_times_the_load_is_seen_within_two_seconds_and_met_as_soon_as_replicas_start():
    rates = curve("spike")
    outcome = play(rates, CONFIG)
    ups = [(when, count) for when, count in outcome.changes if when < 75]
    assert ups[0][0] <= 42
    assert ups[-1] == (pytest.approx(43, abs=2), 8)
    # Nobody could answer what comes in the four seconds that a replica takes to start.
    assert outcome.refused <= (450 - FRAMES_S) * 6


def test_after_a_spike_replicas_go_one_or_two_at_a_time_half_a_minute_apart():
    outcome = play(curve("spike") + [50.0] * 120, CONFIG)
    downs = [(when, count) for when, count in outcome.changes if when > 75]
    assert downs[0][0] >= 75 + 25
    assert all(later - now >= CONFIG.down_s for (now, _), (later, _) in pairwise(downs))
    assert outcome.targets[-1] <= 2


def test_cameras_that_all_send_at_the_same_moment_are_no_rush_and_replicas_that_are_not_needed_go():
    outcome = play(curve("pulses"), CONFIG, first=3)
    assert max(outcome.targets) == 3
    assert outcome.targets[-1] == 1
    assert len(outcome.changes) == 2


def test_an_unsteady_load_costs_less_than_twice_the_replicas_of_one_that_knows_it_ahead():
    for name in ("ramp", "diurnal", "steady", "bursts"):
        rates = curve(name)
        outcome = play(rates, CONFIG)
        ideal_s = sum(max(1.0, rate / (CONFIG.busy * FRAMES_S)) for rate in rates)
        assert outcome.replica_s < 2.0 * ideal_s, name


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.builds(
                ReplicaLoad,
                busy=st.floats(0, 1),
                queue_s=st.floats(0, 100),
                arrived_s=st.floats(0, 1e5),
                answered_s=st.floats(0, 1e5),
                streams=st.integers(0, 1000),
                idle_s=st.floats(0, 1e5),
            ),
            max_size=5,
        ),
        max_size=40,
    ),
    st.integers(0, 4),
    st.integers(0, 6),
)
def test_whatever_is_reported_the_target_stays_within_the_bounds(reports, least, above):
    config = PointConfig(min=least, max=max(1, least + above), idle_s=5.0)
    state, target = ScalingState(), config.first
    for number, loads in enumerate(reports):
        target, state = decide(state, loads, running=len(loads), target=target, config=config, now_s=number / 2)
        assert config.min <= target <= config.most


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=20))
def test_a_trend_is_a_number_and_never_falls(rates):
    trend = trend_s2(rates)
    assert math.isfinite(trend)
    assert trend >= 0.0


def test_a_steady_rise_is_a_trend_and_a_single_burst_is_none():
    times = [number / 2 for number in range(12)]
    assert trend_s2([(time, 50 + 8 * time) for time in times]) == pytest.approx(8)
    assert trend_s2([(time, 50 + (40 if number == 6 else 0)) for number, time in enumerate(times)]) == 0


def test_a_rise_that_goes_on_starts_a_replica_before_it_is_needed():
    state, target, now_s, busy = ScalingState(), 1, 0.0, 0.0
    while target == 1:
        busy = 0.2 + 0.05 * now_s
        target, state = decide(state, [load(busy)], running=1, target=1, config=CONFIG, now_s=now_s)
        now_s += TICK_S
    assert busy < CONFIG.busy - 0.05


def test_a_queue_that_stays_asks_for_more_even_where_nobody_looks_busy():
    assert after(2.0, [load(0.3)])[0] == 1
    assert after(5.0, [load(0.3, queue_s=0.015)])[0] == 2
    assert after(5.0, [load(0.3, queue_s=0.5)] * 4, target=4)[0] == 6


def test_a_queue_asks_for_nothing_while_replicas_that_will_see_to_it_start():
    waiting = [load(0.3, queue_s=0.5)]
    target, state = after(5.0, waiting)
    assert target == 2
    target, state = after(8.0, waiting, target=2, running=1, state=state, from_s=5.5)
    assert target == 2


def test_what_was_refused_counts_as_wanted():
    overloaded = load(1.0, arrived_s=5 * FRAMES_S, answered_s=FRAMES_S)
    assert after(1.0, [overloaded])[0] == 8


def test_one_replica_goes_only_when_the_rest_have_room_to_spare():
    assert after(60.0, [load(0.6)] * 2, target=2)[0] == 2
    assert after(60.0, [load(0.3)] * 2, target=2)[0] == 2
    assert after(60.0, [load(0.25)] * 2, target=2)[0] == 1


def test_a_point_that_may_sleep_does_so_after_its_idle_time_and_not_before():
    config = PointConfig(min=0, max=3, idle_s=20.0)
    assert after(1.0, [load(idle_s=19.0)], config=config)[0] == 1
    assert after(1.0, [load(idle_s=20.0)], config=config)[0] == 0
    assert after(1.0, [load(idle_s=20.0)], config=PointConfig(min=1, max=3, idle_s=20.0))[0] == 1


def test_a_point_with_several_replicas_never_goes_to_sleep_at_once():
    config = PointConfig(min=0, max=3, idle_s=1.0, down_s=1.0)
    target, _ = decide(ScalingState(), [load(idle_s=99.0)] * 3, running=3, target=3, config=config, now_s=0.0)
    assert target == 3


def test_a_night_without_frames_is_slept_through_and_the_first_frame_wakes_the_point():
    outcome = play(curve("night"), PointConfig(min=0, max=3, idle_s=30.0), first=0)
    assert [count for _, count in outcome.changes][:3] == [1, 0, 1]
    assert outcome.replica_s < 0.5 * len(curve("night"))


def test_before_the_first_report_nothing_is_decided():
    assert decide(ScalingState(), [], running=0, target=2, config=CONFIG, now_s=0.0) == (2, ScalingState())
