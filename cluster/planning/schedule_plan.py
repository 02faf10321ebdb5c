"""The plan of a chain of groups over a link: JointDNN's schedule, beside leaving all to one side.

Owns which of JointDNN's two solvers is asked, and the comparison.
"""

from dataclasses import dataclass

from cluster.planning.jointdnn import Limits, best_schedule, bounded_schedule
from cluster.planning.schedules import Schedule, Steps
from cluster.planning.tables import BackwardTable, GroupTable, Link, Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePlan:
    """What came of one link; with ``training`` every cost is of one training step, and else of one frame."""

    link: Link
    objective: Objective
    training: bool
    schedule: Schedule
    device_only: Schedule
    cluster_only: Schedule

    @property
    def workload_saved(self) -> float:
        """The share of the cluster's time that the schedule takes off it, as in table 4 of JointDNN."""
        return 1 - self.schedule.cluster_share

    def cost(self, schedule: Schedule) -> float:
        """Give what the objective makes least: seconds or joules."""
        return schedule.latency_s if self.objective == "latency" else schedule.energy_j

    def gain(self, over: Schedule) -> float | None:
        """Give the cost of a schedule for one of the plan's; None where the plan's is 0."""
        own = self.cost(self.schedule)
        return self.cost(over) / own if own else None


def plan_schedule(
    table: GroupTable,
    link: Link,
    *,
    objective: Objective,
    backward: BackwardTable | None = None,
    limits: Limits | None = None,
) -> SchedulePlan:
    """Plan a chain: by JointDNN's shortest path, or by its integer program where there are limits.

    Raises:
        SettingError: no schedule is within the limits, or the backward table is of another number of groups.
    """
    if limits is None:
        schedule = best_schedule(table, link, objective=objective, backward=backward)
    else:
        schedule = bounded_schedule(table, link, objective=objective, limits=limits, backward=backward)
    steps = Steps(table, link, backward)
    return SchedulePlan(
        link=link,
        objective=objective,
        training=backward is not None,
        schedule=schedule,
        device_only=steps.on_one_side("device"),
        cluster_only=steps.on_one_side("cluster"),
    )
