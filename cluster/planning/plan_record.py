"""Plans as plain values, for a JSON file. Owns its keys; times are seconds, sizes bytes, energies joules."""

from typing import Any

from cluster.planning.cut_plan import CutPlan
from cluster.planning.plan_text import said
from cluster.planning.schedule_plan import SchedulePlan
from cluster.planning.schedules import Schedule
from cluster.planning.single_cut import Choice
from wire.records import to_plain


def cut_record(plan: CutPlan) -> dict[str, Any]:
    """Give what was asked, what was chosen and what it was chosen from."""
    return {
        "request": to_plain(plan.request),
        "link": plan.link.name,
        "chosen": _choice(plan, plan.chosen),
        "device_only": _choice(plan, plan.device_only),
        "cluster_only": _choice(plan, plan.cluster_only),
        "gain_over_device_only": plan.gain(plan.device_only),
        "gain_over_cluster_only": plan.gain(plan.cluster_only),
        "choices": [_choice(plan, choice) for choice in plan.choices],
    }


def schedule_record(plan: SchedulePlan, boundaries: tuple[str, ...]) -> dict[str, Any]:
    """Give the schedule and the two on one side."""
    return {
        "link": plan.link.name,
        "objective": plan.objective,
        "training": plan.training,
        "workload_saved": plan.workload_saved,
        "chosen": _schedule(plan.schedule, boundaries),
        "device_only": _schedule(plan.device_only, boundaries),
        "cluster_only": _schedule(plan.cluster_only, boundaries),
        "gain_over_device_only": plan.gain(plan.device_only),
        "gain_over_cluster_only": plan.gain(plan.cluster_only),
    }


def _choice(plan: CutPlan, choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    device_s, link_s, cluster_s = plan.parts_s(choice)
    option, costs = choice.option, choice.costs
    return {
        "option": option.name, "bytes": option.bytes, "drop": option.drop, "device_s": device_s, "link_s": link_s,
        "cluster_s": cluster_s, "latency_s": costs.latency_s, "energy_j": costs.energy_j,
    }  # fmt: skip


def _schedule(schedule: Schedule, boundaries: tuple[str, ...]) -> dict[str, Any]:
    return {"said": said(schedule, boundaries), **to_plain(schedule)}
