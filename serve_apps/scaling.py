"""How many replicas a point should have: a pure function of what its replicas report, its bounds and what was before.

Owns the policy. Up at once, down slowly: what is needed is worked out from arrivals (whether answered or refused), what
a frame costs, the trend and the queue; more replicas start when the least that was needed over ``up_s`` asks for them,
and one stops when the most that was needed over ``down_s`` does without it. Imports no Ray; time is given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from serve_apps.point_config import PointConfig

TREND_S: Final = 6.0
"""Over so long the trend of the arrivals is taken."""
TREND_SAMPLES: Final = 6
TREND_ERRORS: Final = 6.0
"""A rise counts by what it is more than so many of its standard errors: noise is no trend, and averaged reports, which
are alike, make the error look smaller than it is."""
AHEAD_S: Final = 4.0
"""So far the trend is carried on: about what a replica takes to start."""
MOST_AHEAD: Final = 2.0
"""By so much at most the trend may multiply the arrivals."""
SPARE: Final = 0.8
"""One replica fewer has to be busy less than this share of the target, so that it is not wanted back at once."""
COUNTED_RATE: Final = 0.5
"""Fewer frames a second than this say nothing of what one costs."""
COST_S: Final = 10.0
"""Over about so long it is taken what a frame costs: a replica's share of time and its frames are not counted over the
same moments."""
SMOOTH_S: Final = 2.0
"""Over so long the arrivals are averaged: cameras that send at the same moment are no rush."""
QUEUE_SETTLE_S: Final = 3.0
"""A queue from before new replicas came says nothing of whether they are enough; reports are averaged, too."""
QUEUE_STEP: Final = 2.0
"""A queue of so many times its target asks for half as many replicas again."""


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What one replica reports."""

    busy: float
    """Share of time that it is busy."""
    queue_s: float
    arrived_s: float
    """Frames that came in a second, answered or refused."""
    answered_s: float
    """Frames that were answered in a second."""
    streams: int
    idle_s: float
    """Since its last frame; since its start, if none came."""


@dataclass(frozen=True, slots=True)
class ScalingState:
    """What the policy remembers from one decision to the next."""

    rates: tuple[tuple[float, float], ...] = ()
    """(time, frames a second), the newest last."""
    needs: tuple[tuple[float, int, int], ...] = ()
    """(time, replicas needed to be quick, replicas needed before one is let go), the newest last."""
    began_s: float = math.inf
    """Since when there are reports."""
    busy: float = 0.0
    """Replicas' worth of work, over a while."""
    answered_s: float = 0.0
    """Frames a second, over the same while."""
    changed_s: float = -math.inf
    """When the target was last changed."""
    running: int = 0
    ran_s: float = -math.inf
    """Since when so many run."""


def decide(
    state: ScalingState,
    replicas: Sequence[ReplicaLoad],
    *,
    running: int,
    target: int,
    config: PointConfig,
    now_s: float,
) -> tuple[int, ScalingState]:
    """Give the number of replicas that there should be from now on, and what to remember.

    ``replicas`` are those that have reported, of ``running`` that run; ``target`` is what was decided last.
    """
    least, most = max(config.min, 1), config.most
    if target == 0:
        return 0, ScalingState()  # Serve itself wakes a point that a request waits for
    if not replicas:
        return min(max(target, least), most), state
    if config.min == 0 and target == 1 and min(replica.idle_s for replica in replicas) >= config.idle_s:
        return 0, ScalingState()
    state = _noted(state, replicas, running, now_s)
    quick, spare = _needs(state, replicas, target, config, now_s)
    window_s = max(config.up_s, config.down_s)
    needs = (*(need for need in state.needs if now_s - need[0] <= window_s), (now_s, quick, spare))
    state = replace(state, needs=needs)
    wanted = _settled(state, target, config, now_s)
    wanted = min(max(wanted, least), most)
    if wanted != target:
        state = replace(state, changed_s=now_s)
    return wanted, state


def trend_s2(rates: Sequence[tuple[float, float]]) -> float:
    """Give by how much the arrivals surely rise, in frames a second each second; 0 where that may be noise.

    The slope of the least squares through (time, frames a second), less ``TREND_ERRORS`` of its standard errors.
    """
    count = len(rates)
    if count < TREND_SAMPLES:
        return 0.0
    mean_t = sum(time for time, _ in rates) / count
    mean_r = sum(rate for _, rate in rates) / count
    spread = sum((time - mean_t) ** 2 for time, _ in rates)
    if spread <= 0.0:
        return 0.0
    slope = sum((time - mean_t) * (rate - mean_r) for time, rate in rates) / spread
    left = sum((rate - mean_r - slope * (time - mean_t)) ** 2 for time, rate in rates)
    error = math.sqrt(left / (count - 2) / spread)
    return max(0.0, slope - TREND_ERRORS * error)


def _noted(state: ScalingState, replicas: Sequence[ReplicaLoad], running: int, now_s: float) -> ScalingState:
    arrived = sum(replica.arrived_s for replica in replicas)
    answered = sum(replica.answered_s for replica in replicas)
    busy = sum(replica.busy for replica in replicas)
    rates = (*(rate for rate in state.rates if now_s - rate[0] <= TREND_S), (now_s, arrived))
    newest = 1.0
    if state.rates:
        newest -= math.exp((state.rates[-1][0] - now_s) / COST_S)
    return replace(
        state,
        rates=rates,
        began_s=min(state.began_s, now_s),
        busy=state.busy + newest * (busy - state.busy),
        answered_s=state.answered_s + newest * (answered - state.answered_s),
        running=running,
        ran_s=state.ran_s if running == state.running else now_s,
    )


def _needs(
    state: ScalingState, replicas: Sequence[ReplicaLoad], target: int, config: PointConfig, now_s: float
) -> tuple[int, int]:
    """Give how many replicas are needed to be quick, and how many before one may be let go."""
    lately = [rate for time, rate in state.rates if now_s - time <= SMOOTH_S]
    arrived = sum(lately) / len(lately)
    ahead = min(arrived + AHEAD_S * trend_s2(state.rates), MOST_AHEAD * arrived)
    # What is asked for, whether it was answered or not; but never less than what is being done.
    cost_s = state.busy / state.answered_s if state.answered_s >= COUNTED_RATE else 0.0
    busy = max(ahead * cost_s, sum(replica.busy for replica in replicas))
    quick = _replicas(busy / config.busy)
    spare = _replicas(busy / (config.busy * SPARE))
    running = state.running
    # Else those that start already, or have just begun, will see to the queue.
    if running >= target and now_s - state.ran_s >= QUEUE_SETTLE_S:
        late = max(replica.queue_s for replica in replicas) / (config.queue_ms / 1e3)
        if late > 1.0:
            quick = max(quick, running + (max(1, running // 2) if late > QUEUE_STEP else 1))
            spare = max(spare, running)
    return quick, max(quick, spare)


def _settled(state: ScalingState, target: int, config: PointConfig, now_s: float) -> int:
    """Give the target that the needs of a while ask for."""
    if now_s - state.began_s >= config.up_s:
        least = min(quick for time, quick, _ in state.needs if now_s - time <= config.up_s)
        if least > target:
            return least
    if now_s - max(state.began_s, state.changed_s) >= config.down_s:
        most = max(spare for time, _, spare in state.needs if now_s - time <= config.down_s)
        if most < target:
            return target - max(1, (target - most) // 2)
    return target


def _replicas(amount: float) -> int:
    """Round up to whole replicas, but not for a sliver of one."""
    return max(1, math.ceil(amount - 0.01))
