"""JointDNN's schedules: the free problem as a shortest path, the bounded one as an integer program.

Owns the choice between schedules; what their steps cost is ``cluster.planning.schedules``'s. Does no I/O.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from cluster.planning.program import solve
from cluster.planning.schedules import Place, Schedule, Step, Steps
from cluster.planning.tables import BackwardTable, GroupTable, Link, Objective
from wire.errors import SettingError

TOLERANCE: Final = 1e-6
"""How far over a bound a schedule may be, as a share of it: the solver's own tolerance."""
_SAME: Final = 1e-12
"""Costs that differ by a smaller share differ by the order in which they were added up."""

Cost = Callable[[Step], float]
_COSTS: Final[dict[str, tuple[Cost, str]]] = {
    "energy_j": (lambda step: step.energy_j, "J of the device's battery"),
    "cluster_s": (lambda step: step.cluster_s, "s of the cluster's time"),
    "latency_s": (lambda step: step.latency_s, "s of latency"),
}
_ORDER: Final[dict[Objective, tuple[str, str]]] = {
    "latency": ("latency_s", "energy_j"),
    "energy": ("energy_j", "latency_s"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a schedule may cost at most: JointDNN's extra constraints.

    Raises:
        SettingError: a limit is not a number of 0 or more.
    """

    energy_j: float = inf
    """Of the device for one frame, by what its battery can give (eq. 18)."""
    cluster_s: float = inf
    """Of the cluster for one frame, by its load (eq. 19)."""
    latency_s: float = inf
    """Of one frame, by the quality of service that was promised (eq. 20)."""

    def __post_init__(self) -> None:
        for name in _COSTS:
            if not getattr(self, name) >= 0:
                raise SettingError(f"{name} is limited to {getattr(self, name)}", mend="give a number of 0 or more")


def best_schedule(
    table: GroupTable, link: Link, *, objective: Objective, backward: BackwardTable | None = None
) -> Schedule:
    """Solve the free problem: the shortest path of JointDNN, by Dijkstra, for inference and for training.

    Nodes are (boundary between groups, side), edges are grouped executions with the transfers that they need; ``Steps``
    says all that is modelled, and what a ``backward`` table changes. Of schedules that are equally good the one that
    is better in the other objective is given.

    Raises:
        SettingError: the backward table is of another number of groups.
    """
    steps = Steps(table, link, backward)
    return steps.schedule(_shortest(steps, *_ORDER[objective]))


def bounded_schedule(
    table: GroupTable, link: Link, *, objective: Objective, limits: Limits, backward: BackwardTable | None = None
) -> Schedule:
    """Solve the problem under limits: JointDNN's integer program with its constraints (eq. 18, 19 and 20).

    There is one 0/1 variable for each edge of the same graph. They are a flow of one unit from the source to the
    target, which says what the paper's program does: every group is executed once, and a transfer stands at each change
    of sides. Of equally good schedules the one that is better in the other objective is given. Limits and objective
    hold to within ``TOLERANCE``.

    Raises:
        SettingError: no schedule is within the limits; the error names the one that cannot be kept and the least that
            there is, or, where each alone could be kept, all of them. Or the backward table is of another number of
            groups.
        IsthmusError: HiGHS does not solve the program.
    """
    steps = Steps(table, link, backward)
    most = {name: getattr(limits, name) for name in _COSTS if getattr(limits, name) < inf}
    first, second = _ORDER[objective]
    path = _least(steps, first, most)
    if path is None:
        raise _infeasible(steps, most)
    # Found once, the least becomes one more limit, which the path itself keeps, while the second cost is made least.
    best = {first: min(most.get(first, inf), sum(_COSTS[first][0](step) for step in path))}
    return steps.schedule(_least(steps, second, most | best) or path)


def _shortest(steps: Steps, first: str, second: str) -> list[Step]:
    graph = nx.DiGraph()
    for step in steps.all:
        weights = {name: cost(step) for name, (cost, _) in _COSTS.items()}
        graph.add_edge(step.start, step.end, step=step, **weights)
    ahead: dict[Place, float] = nx.single_source_dijkstra_path_length(graph, steps.source, weight=first)
    behind: dict[Place, float] = nx.single_source_dijkstra_path_length(graph.reverse(), steps.target, weight=first)
    least = ahead[steps.target] * (1 + _SAME)
    best = nx.DiGraph()
    for start, end, edge in graph.edges(data=True):
        if ahead[start] + edge[first] + behind[end] <= least:
            best.add_edge(start, end, **edge)
    places: list[Place] = nx.dijkstra_path(best, steps.source, steps.target, weight=second)
    return [best.edges[pair]["step"] for pair in pairwise(places)]


def _least(steps: Steps, name: str, most: dict[str, float]) -> list[Step] | None:
    """Solve the program for one cost under limits on any; none where they cannot all be kept."""
    values = {each: np.array([cost(step) for step in steps.all]) for each, (cost, _) in _COSTS.items()}
    usable = np.ones(len(steps.all))
    for each, limit in most.items():
        # A step that is over a limit alone: said here, it holds for a limit of 0 too, to which no tolerance scales.
        usable[values[each] > limit * (1 + TOLERANCE)] = 0
    rows = [_flow(steps), *(_limit(values[each] * usable, limit) for each, limit in most.items())]
    chosen = solve(values[name] * usable, rows, usable)
    if chosen is None:
        return None
    # The graph has no cycles, so the edges that are taken are one path, and they lie along it in this order.
    path = [step for step, taken in zip(steps.all, chosen, strict=True) if taken]
    return sorted(path, key=lambda step: (step.start[0], step.end[0]))


def _flow(steps: Steps) -> LinearConstraint:
    """Say that as much leaves a place as comes to it, but for one unit from the source to the target."""
    places = {place: row for row, place in enumerate({p: None for step in steps.all for p in (step.start, step.end)})}
    flows = np.zeros((len(places), len(steps.all)))
    for column, step in enumerate(steps.all):
        flows[places[step.start], column] += 1
        flows[places[step.end], column] -= 1
    net = np.zeros(len(places))
    net[places[steps.source]], net[places[steps.target]] = 1, -1
    return LinearConstraint(flows, net, net)


def _limit(values: NDArray[np.float64], most: float) -> LinearConstraint:
    # Scaled to 1, so that the solver's absolute tolerance is a share of the limit.
    scale = 1 / most if most > 0 else 1.0
    return LinearConstraint(values[None] * scale, -np.inf, most * scale)


def _infeasible(steps: Steps, most: dict[str, float]) -> SettingError:
    for name, limit in most.items():
        cost, unit = _COSTS[name]
        least = sum(cost(step) for step in _shortest(steps, name, "latency_s"))
        if least > limit * (1 + TOLERANCE):
            return SettingError(
                f"no schedule keeps {name} at {limit:.4g}: the least there is is {least:.4g} {unit}",
                mend=f"allow a {name} of as much",
            )
    limits = ", ".join(f"{name} {limit:.4g}" for name, limit in most.items())
    return SettingError(f"no schedule keeps all of these at once: {limits}", mend="allow more of one of them")
