"""What a plan says on a screen: a table of cuts, a table of schedules, and a schedule as a strip of two lanes.

Owns these words. Chooses nothing.
"""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from cluster.comparison.text_table import TextTable
from cluster.planning.cut_plan import CutPlan
from cluster.planning.schedule_plan import SchedulePlan
from cluster.planning.schedules import Schedule, Side
from cluster.planning.single_cut import Choice

NONE: Final = "–"
SIDES: Final[tuple[Side, ...]] = ("device", "cluster")
STYLES: Final[dict[Side, str]] = {"device": "dark_orange", "cluster": "dodger_blue2"}
BLOCK: Final = "██"
GAP: Final = "··"


def milli(amount: float) -> str:
    """Write seconds as milliseconds, or joules as millijoules, with three digits or more."""
    return f"{amount * 1e3:,.1f}" if amount < 0.1 else f"{amount * 1e3:,.0f}"


def times(ratio: float | None) -> str:
    """Write a gain."""
    return NONE if ratio is None else f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"


def percent(share: float) -> str:
    """Write a share as whole hundredths."""
    return f"{share:.0%}".replace("-0%", "0%")


def drop(share: float) -> str:
    """Write a share of top-1 as points."""
    return f"{share * 100 + 0.0:.1f}".replace("-0.0", "0.0")


def cut_text(plans: Sequence[CutPlan]) -> TextTable:
    """Give a line for each link and way: what was chosen, and all on one side."""
    request = plans[0].request
    rows = tuple(
        (plan.link.name, way, *_cut_cells(plan, choice))
        for plan in plans
        for way, choice in (
            ("chosen", plan.chosen),
            ("device only", plan.device_only),
            ("cluster only", plan.cluster_only),
        )
    )
    headings = (
        "link",
        "way",
        "option",
        "drop",
        "bytes",
        "device ms",
        "link ms",
        "cluster ms",
        "total ms",
        "mJ",
        "gain",
    )
    return TextTable(
        f"{request.planner}: least {request.objective}, at most {request.most_drop * 100:g} points lost",
        headings, rows, texts=3,
    )  # fmt: skip


def _cut_cells(plan: CutPlan, choice: Choice | None) -> tuple[str, ...]:
    if choice is None:
        return ("not in this table", *(NONE,) * 8)
    option = choice.option
    gain = NONE if choice is plan.chosen else times(plan.gain(choice))
    lost = drop(option.drop) + (" (over)" if option.drop > plan.request.most_drop else "")
    return (
        option.name, lost, f"{option.bytes:,.0f}", *map(milli, plan.parts_s(choice)),
        milli(choice.costs.latency_s), milli(choice.costs.energy_j), gain,
    )  # fmt: skip


def schedule_text(plans: Sequence[SchedulePlan], boundaries: Sequence[str]) -> TextTable:
    """Give a line for each link and way: JointDNN's schedule, and all on one side."""
    headings = ("link", "way", "schedule", "total ms", "cluster ms", "off cluster", "mJ", "gain")
    rows = tuple(
        (
            plan.link.name, way, said(schedule, boundaries), milli(schedule.latency_s), milli(schedule.cluster_s),
            percent(1 - schedule.cluster_share), milli(schedule.energy_j),
            NONE if schedule is plan.schedule else times(plan.gain(schedule)),
        )
        for plan in plans
        for way, schedule in (
            ("chosen", plan.schedule),
            ("device only", plan.device_only),
            ("cluster only", plan.cluster_only),
        )
    )  # fmt: skip
    what = "a training step" if plans[0].training else "a frame"
    return TextTable(f"JointDNN: least {plans[0].objective} of {what}", headings, rows, texts=3)


def said(schedule: Schedule, boundaries: Sequence[str]) -> str:
    """Say where a schedule changes sides, from its first group to its last: ``device → blocks.3 → cluster``."""
    words: list[str] = [schedule.segments[0].side]
    for transfer in schedule.transfers:
        if 0 < transfer.boundary < len(boundaries) - 1:
            words.extend((boundaries[transfer.boundary], transfer.to))
    return " → ".join(words)


def strip(schedule: Schedule) -> Text:
    """Draw a schedule as two lanes of a block for each group, which is readable without colours."""
    text = Text()
    for side in SIDES:
        text.append(f"{side:<8}")
        for segment in schedule.segments:
            filled = segment.side == side
            block = BLOCK if filled else GAP
            text.append(block * (segment.last - segment.first + 1), style=STYLES[side] if filled else "dim")
        text.append("\n")
    return text
