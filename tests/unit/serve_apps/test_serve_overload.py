"""What a replica makes of more than it can do, in virtual time: goodput, fairness, and that nothing is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_replica import Arrival, FairReplica, Machine, PlainReplica, cameras, play

SECONDS = 10
LITE0_ON_A_CPU = Machine(alone_s=0.008, ratio=0.6, noise=0.1)
LIKE_A_GPU = Machine(alone_s=0.003, ratio=0.1, noise=0.1)

bounded = settings(derandomize=True, deadline=None, max_examples=60)


def goodput(outcome):
    return outcome.good.total() / SECONDS


@pytest.mark.parametrize(("machine", "budget_s"), [(LITE0_ON_A_CPU, 0.15), (LITE0_ON_A_CPU, 0.3), (LIKE_A_GPU, 0.06)])
@pytest.mark.parametrize("load", [1.5, 2.0, 3.0])
def test_under_overload_goodput_stays_at_capacity_where_first_come_first_served_collapses(machine, budget_s, load):
    arrivals = cameras(40, load * machine.capacity, SECONDS, budget_s)
    fair, plain = (play(arrivals, machine, kind) for kind in (FairReplica, PlainReplica))
    assert fair.total == plain.total == len(arrivals)
    assert goodput(fair) >= 0.95 * machine.capacity
    assert goodput(plain) <= 0.6 * machine.capacity
    assert np.percentile(fair.latencies_s, 95) <= budget_s * 1.2  # budgets are from 0.8 to 1.2 of it
    assert fair.late.total() <= 0.03 * fair.good.total()


def test_most_of_what_is_refused_is_refused_at_once():
    arrivals = cameras(40, 2 * LITE0_ON_A_CPU.capacity, SECONDS, 0.2)
    outcome = play(arrivals, LITE0_ON_A_CPU)
    assert np.mean(np.array(outcome.refused_after_s) == 0.0) >= 0.9


def test_cameras_that_are_alike_are_served_alike_under_overload():
    outcome = play(cameras(40, 2 * LITE0_ON_A_CPU.capacity, SECONDS, 0.2), LITE0_ON_A_CPU)
    assert min(outcome.good.values()) >= 0.5 * max(outcome.good.values())


@pytest.mark.parametrize("machine", [LITE0_ON_A_CPU, LIKE_A_GPU])
def test_below_capacity_nearly_everything_is_answered_in_time(machine):
    arrivals = cameras(40, 0.8 * machine.capacity, SECONDS, 0.2)
    assert play(arrivals, machine).good.total() >= 0.99 * len(arrivals)


@pytest.mark.parametrize(
    ("greedy_budget_s", "modest_budget_s", "plain_share"), [(0.2, 0.2, 0.5), (0.12, 0.3, 1.0), (0.6, 0.25, 0.5)]
)
def test_a_greedy_camera_takes_nothing_from_modest_ones(greedy_budget_s, modest_budget_s, plain_share):
    capacity = LITE0_ON_A_CPU.capacity
    greedy = cameras(1, 3 * capacity, SECONDS, greedy_budget_s, name="greedy")
    modest = cameras(10, 0.4 * capacity, SECONDS, modest_budget_s, name="modest", seed=2)
    outcome = play(greedy + modest, LITE0_ON_A_CPU)
    plain = play(greedy + modest, LITE0_ON_A_CPU, PlainReplica)
    served = sum(outcome.good[device] for device in outcome.good if device.startswith("modest"))
    assert served >= 0.93 * len(modest)
    assert sum(plain.good[device] for device in plain.good if device.startswith("modest")) <= plain_share * len(modest)
    # And what the modest ones leave is the greedy one's.
    assert goodput(outcome) >= 0.85 * capacity


def test_a_camera_of_few_frames_is_served_in_full_beside_cameras_of_many():
    capacity = LITE0_ON_A_CPU.capacity
    many = cameras(20, 2 * capacity, SECONDS, 0.2, name="many")
    few = cameras(10, 0.05 * capacity, SECONDS, 0.2, name="few", seed=2)
    outcome = play(many + few, LITE0_ON_A_CPU)
    assert sum(outcome.good[device] for device in outcome.good if device.startswith("few")) >= 0.93 * len(few)


def test_estimates_that_are_far_too_high_mend_themselves():
    slow_start = Machine(alone_s=0.008, ratio=0.6, noise=0.0)
    outcome = play(cameras(20, 100, SECONDS, 0.2), Pausing(slow_start, pauses=12))
    lately = [latency for latency in outcome.latencies_s[-500:] if latency <= 0.2]
    assert len(lately) >= 495
    assert outcome.refused.total() <= 0.25 * outcome.total


class Pausing(Machine):
    """A machine whose first batches take ten times as long."""

    def __init__(self, machine, pauses):
        super().__init__(machine.alone_s, machine.ratio, machine.noise, machine.max_batch)
        object.__setattr__(self, "left", pauses)

    def seconds(self, frames, rng):
        object.__setattr__(self, "left", self.left - 1)
        return super().seconds(frames, rng) * (10 if self.left >= 0 else 1)


arrivals_of_any_kind = st.lists(
    st.builds(
        Arrival,
        at_s=st.floats(0, 1),
        device=st.sampled_from(["a", "b", "c", "d"]),
        budget_s=st.one_of(st.just(0.0), st.floats(0.001, 0.05), st.floats(0.001, 3.0)),
    ),
    max_size=120,
)


@bounded
@given(arrivals_of_any_kind, st.sampled_from([LITE0_ON_A_CPU, LIKE_A_GPU, Machine(0.05, 1.0, 0.5, max_batch=2)]))
def test_every_frame_gets_exactly_one_outcome(arrivals, machine):
    assert play(arrivals, machine).total == len(arrivals)
