"""The decider: puts together what is known, asks the planner, and remembers what it decided.

Owns the held option, the allowances and the chance of moves. Knows no clock and no socket, so that a simulation in
virtual time decides with this very code.
"""

import random
from collections.abc import Container
from dataclasses import dataclass, field
from math import inf
from typing import Final

import numpy as np

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkEstimate
from device_agent.option_costs import OptionCosts, is_picture
from device_agent.option_table import Floats, OptionTable
from device_agent.papers_planners import PAPERS, Offline, plan_as
from device_agent.planner import CALM_S, Decision, next_calm_s, plan
from device_agent.rules import Rules
from device_agent.snapshot import Estimates, Held, Limits, Snapshot
from wire.ids import PointName
from wire.manifest import Option

SIZES_EVERY_S: Final = 1.0
"""Coding a picture takes a device some milliseconds, between two frames; until the next, spatial activity tells."""


@dataclass(eq=False)
class Decider:
    """Decides for one device, with one bundle; link and cluster's view outlive it when the bundle is swapped."""

    options: tuple[Option, ...]
    costs: OptionCosts
    link: LinkEstimate
    cluster: ClusterView
    rules: Rules
    energy: EnergyModel
    bytes_left: Allowance
    joules_left: Allowance
    seed: int = 0
    switches: int = 0
    """How often the option was another than that of the frame before."""
    table: OptionTable = field(init=False)
    _held: Held | None = field(init=False, default=None)
    _sizes_due_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.table = OptionTable.of(self.options)
        self._allowed = self.table.allowed_by(self.rules.policy)
        self._random = random.Random(self.seed)
        self._offline = Offline(self.costs.device_s, self.costs.moved_bytes)

    def decide(
        self, *, due_s: float, now_s: float, activity: float, link_up: bool, opened: Container[PointName]
    ) -> Decision:
        """Choose the option for a frame that was due at ``due_s``, and has such a spatial ``activity``.

        ``opened`` are the points with an open stream.
        """
        self.costs.note_activity(activity)
        snapshot = self.snapshot(due_s, now_s, opened, link_up=link_up)
        decision = self._plan(snapshot)
        self._hold(decision, snapshot)
        return decision

    def snapshot(self, due_s: float, now_s: float, opened: Container[PointName], *, link_up: bool) -> Snapshot:
        """Put together all that the planner looks at, for a frame that was due at ``due_s``."""
        rules, constraints = self.rules, self.rules.constraints
        closed = np.array([*[point not in opened for point in self.table.points], False])
        cluster_s, served, asleep = self.cluster.columns(self.table.points, now_s, insists=not rules.policy.chooses)
        estimates = Estimates(
            device_s=self.costs.device_s,
            moved_bytes=self.costs.moved_bytes,
            bytes_sd=self.costs.bytes_sd,
            looks=self.costs.looks,
            cluster_s=cluster_s[self.table.point_of],
            served=served[self.table.point_of],
            closed=closed[self.table.point_of],
            asleep=asleep[self.table.point_of],
            link=self.link.view(now_s) if link_up else None,
            energy=self.energy,
        )
        limits = Limits(
            # An option that is named with its rate is taken as it is.
            drop=1.0 if rules.policy.rate is not None else constraints.most_drop,
            latency_s=constraints.deadline_s,
            energy_j=min(constraints.most_energy_j, self.joules_left.left(now_s)),
            cluster_s=constraints.most_cluster_s,
            bytes=self.bytes_left.left(now_s),
        )
        return Snapshot(
            table=self.table,
            estimates=estimates,
            allowed=self._allowed,
            goal=rules.goal,
            limits=limits,
            due_s=due_s,
            now_s=now_s,
            held=self._held,
            draw=self._random.random(),
            calm=rules.calm,
            races=rules.races and rules.policy.kind == "auto",
        )

    def _hold(self, decision: Decision, snapshot: Snapshot) -> None:
        row, held = self.costs.row(decision.option_id), self._held
        moved = held is not None and row != held.row
        self.switches += moved
        now_s, cluster_s = snapshot.now_s, snapshot.estimates.cluster_s
        since_s, calm_s, down_s = now_s, CALM_S, -inf
        if held is not None:
            down_s = held.down_s
            since_s, calm_s = (now_s, next_calm_s(held, snapshot)) if moved else (held.since_s, held.calm_s)
            if not moved and not decision.is_best:
                cluster_s = held.cluster_s
        if decision.gave_way == "link_down":
            down_s = now_s
        self._held = Held(row, now_s, cluster_s, since_s=since_s, calm_s=calm_s, down_s=down_s)

    def local_s(self) -> float:
        """Give the expected seconds of the device's own answer."""
        return float(self.costs.device_s[self.table.local])

    def wants_sizes(self, now_s: float) -> tuple[Option, ...]:
        """Give the options whose size a frame should be asked for now, though it was not sent so.

        Those that send it as a picture: how large one becomes depends on what is in it far more than the size of a code
        does, and the bundle knows it of other pictures only. It takes no head.
        """
        if not self.rules.policy.chooses or now_s < self._sizes_due_s:
            return ()
        self._sizes_due_s = now_s + SIZES_EVERY_S
        return tuple(option for option in self.options if is_picture(option))

    def spend(self, moved_bytes: float, energy_j: float) -> None:
        """Take what a frame cost of the allowances."""
        self.bytes_left.spend(moved_bytes)
        self.joules_left.spend(energy_j)

    def _plan(self, snapshot: Snapshot) -> Decision:
        kind = self.rules.policy.kind
        if kind in PAPERS:
            return plan_as(kind, snapshot, self._offline, self._service_s())
        return plan(snapshot)

    def _service_s(self) -> Floats:
        loads = [self.cluster.load(point) for point in self.table.points]
        seconds = [load.service_s if load is not None else 0.0 for load in loads]
        return np.array([*seconds, 0.0])[self.table.point_of]
