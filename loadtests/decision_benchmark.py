"""What one decision takes on one core: the planner alone, all that the decider gathers for it, and a look at the frame.

Owns the made-up situation: a bundle's own options, again and again as further rates until there are enough, a link
and a cluster that are well known, and a deadline and a bound of accuracy.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, cycle, islice
from statistics import median
from typing import Final

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.decider import Decider
from device_agent.energy import EnergyModel
from device_agent.kalman_link import KalmanLink
from device_agent.option_costs import OptionCosts
from device_agent.planner import plan
from device_agent.rules import Constraints, Rules
from device_agent.sources import Pixels
from device_agent.spatial_activity import spatial_activity
from wire.ids import OptionId
from wire.manifest import Option
from wire.messages import LoadSignal

OPTIONS: Final = 200
ROUNDS: Final = 2000
_FRAME_S: Final = 0.2
_RULES: Final = Rules(constraints=Constraints(most_drop=0.02, deadline_s=0.2))


def time_decisions(options: Sequence[Option], pixels: Pixels, *, rounds: int = ROUNDS) -> dict[str, float]:
    """Give the median microseconds of each part, for ``OPTIONS`` options; one of those given sends nothing."""
    decider = _decider(many(options))
    points = decider.table.points
    activity = spatial_activity(pixels)
    now_s = count()

    def decide() -> None:
        at_s = next(now_s) * _FRAME_S
        decider.decide(due_s=at_s, now_s=at_s, activity=activity, link_up=True, opened=points)

    whole_us = _median_us(decide, rounds)
    at_s = next(now_s) * _FRAME_S
    snapshot = decider.snapshot(at_s, at_s, points, link_up=True)
    return {
        "options": len(decider.options),
        "plan_us": _median_us(lambda: plan(snapshot), rounds),
        "decide_us": whole_us,
        "activity_us": _median_us(lambda: spatial_activity(pixels), rounds),
    }


def many(options: Sequence[Option]) -> tuple[Option, ...]:
    """Give ``OPTIONS`` of them: those that send as often as need be, and the one that does not once."""
    alone = next(option for option in options if option.coder == "none")
    sending = cycle(option for option in options if option.coder != "none")
    further = (replace(option, id=OptionId(number)) for number, option in enumerate(sending))
    return (*islice(further, OPTIONS - 1), replace(alone, id=OptionId(OPTIONS - 1)))


def _decider(options: tuple[Option, ...]) -> Decider:
    link = KalmanLink()
    for number in range(20):
        link.note_transfer(3_000, 0.030 + 0.001 * (number % 3), now_s=0.0)
    cluster = ClusterView()
    points = dict.fromkeys(option.point for option in options if option.coder != "none")
    cluster.note_loads(
        (
            LoadSignal(
                point=point, state="ready", service_s=0.003, queue_s=0.001, utilisation=0.1, in_flight=1, replicas=1
            )
            for point in points
        ),
        now_s=0.0,
    )
    return Decider(
        options=options,
        costs=OptionCosts(options, {option.id: 0.010 + 2e-4 * row for row, option in enumerate(options)}),
        link=link,
        cluster=cluster,
        rules=_RULES,
        energy=EnergyModel(),
        bytes_left=Allowance(_RULES.constraints.bytes_per_hour, now_s=0.0),
        joules_left=Allowance(_RULES.constraints.joules_per_hour, now_s=0.0),
    )


def _median_us(work: Callable[[], object], rounds: int) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return median(once() for _ in range(rounds)) * 1e6
