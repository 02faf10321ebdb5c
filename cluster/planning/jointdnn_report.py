"""JointDNN's table 4 for our backbones: how much of the cluster's work its schedules take away.

Owns the plans that the table needs, and its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cluster.comparison.text_table import TextTable
from cluster.planning.machines import Machines
from cluster.planning.plan_text import percent, said, times
from cluster.planning.schedule_plan import SchedulePlan, plan_schedule
from cluster.planning.table_maker import FrameCoding, TensorCoding, backward_table, group_table
from cluster.planning.tables import Link, Objective
from cluster.profiling.group_profile import GroupProfile

OBJECTIVES: Final[tuple[Objective, ...]] = ("latency", "energy")
TITLE: Final = "JointDNN, table 4: the share of the cluster's time that the schedule takes off it"
NOTE: Final = (
    "As in the paper, for latency and for energy over each radio. Unlike it, of our backbones one by one, with the "
    "frame sent in two ways, and on the machines named here. A share just below 0 is the measurement's noise."
)
SCHEDULE_TITLE: Final = "JointDNN, the schedules of table 4: where they run, and their gains"
SCHEDULE_NOTE: Final = "The first gain is over all on the cluster, the second over all on the device."
HEADINGS: Final = ("backbone", "of", "least", "frame as")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The schedules of one backbone for one aim, one a link."""

    backbone: str
    machines: Machines
    frame: FrameCoding
    boundaries: tuple[str, ...]
    sizes: tuple[float, ...]
    """Bytes sent at each boundary."""
    plans: tuple[SchedulePlan, ...]

    @property
    def phase(self) -> str:
        """Inference or training."""
        return "training" if self.plans[0].training else "inference"

    @property
    def objective(self) -> Objective:
        """What the schedules make least."""
        return self.plans[0].objective

    @property
    def cuts(self) -> int:
        """How often the schedules change sides between the frame and the answer, over all links."""
        ends = (0, len(self.boundaries) - 1)
        transfers = (transfer for plan in self.plans for transfer in plan.schedule.transfers)
        return sum(transfer.boundary not in ends for transfer in transfers)


def workloads(
    profiles: Sequence[tuple[GroupProfile, Machines]], codings: Sequence[TensorCoding], links: Sequence[Link]
) -> list[Workload]:
    """Plan each backbone on its machines, for latency and for energy; for training too where it was measured."""
    return [
        _workload(profile, machines, coding, links, objective, training=training)
        for profile, machines in profiles
        for training in ((False,) if profile.backward_s is None else (False, True))
        for objective in OBJECTIVES
        for coding in codings
    ]


def workload_table(found: Sequence[Workload]) -> TextTable:
    """Give table 4: a line for each backbone, phase, aim and way of sending the frame, a column for each link."""
    rows = tuple((*_names(each), *(percent(plan.workload_saved) for plan in each.plans)) for each in found)
    return TextTable(TITLE, (*HEADINGS, *_links(found)), rows, texts=len(HEADINGS))


def schedule_table(found: Sequence[Workload]) -> TextTable:
    """Give what stands behind table 4: where schedules change sides, and their gains over all on one side."""
    rows = tuple((*_names(each), *(_cell(each, plan) for plan in each.plans)) for each in found)
    headings = (*HEADINGS, *_links(found))
    return TextTable(SCHEDULE_TITLE, headings, rows, texts=len(headings))


def workload_record(found: Sequence[Workload]) -> list[dict[str, Any]]:
    """Give the same as plain values."""
    return [
        {
            "backbone": each.backbone, "phase": each.phase, "objective": each.objective, "frame": each.frame,
            "link": plan.link.name, "workload_saved": plan.workload_saved,
            "schedule": said(plan.schedule, each.boundaries), "latency_s": plan.schedule.latency_s,
            "energy_j": plan.schedule.energy_j, "cluster_s": plan.schedule.cluster_s,
            "gain_over_cluster_only": plan.gain(plan.cluster_only),
            "gain_over_device_only": plan.gain(plan.device_only),
        }
        for each in found
        for plan in each.plans
    ]  # fmt: skip


def _workload(
    profile: GroupProfile,
    machines: Machines,
    coding: TensorCoding,
    links: Sequence[Link],
    objective: Objective,
    *,
    training: bool,
) -> Workload:
    table = group_table(profile, machines, coding)
    backward = backward_table(profile, machines) if training else None
    return Workload(
        backbone=profile.backbone,
        machines=machines,
        frame=coding.frame,
        boundaries=profile.boundaries,
        sizes=table.upload_bytes,
        plans=tuple(plan_schedule(table, link, objective=objective, backward=backward) for link in links),
    )


def _names(each: Workload) -> tuple[str, ...]:
    return each.backbone, each.phase, each.objective, each.frame


def _links(found: Sequence[Workload]) -> tuple[str, ...]:
    return tuple(plan.link.name for plan in found[0].plans) if found else ()


def _cell(each: Workload, plan: SchedulePlan) -> str:
    gains = f"{times(plan.gain(plan.cluster_only))}, {times(plan.gain(plan.device_only))}"
    return f"{said(plan.schedule, each.boundaries)}: {gains}"
