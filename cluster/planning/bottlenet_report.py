"""BottleNet's tables 4 and 5 for our backbone: the chosen partition over each radio, and what it gains.

Owns the plans that the tables need, the paper's own gains, and the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cluster.comparison.text_table import TextTable
from cluster.planning.cut_plan import INPUT, CutPlan, CutRequest, plan_cut
from cluster.planning.plan_text import NONE, drop, milli, times
from cluster.planning.single_cut import Choice
from cluster.planning.tables import CutOption, CutTable, Link, Objective
from wire.errors import SettingError

MOST_DROP: Final = 0.02
"""BottleNet compares at a loss of at most two points."""
PAPER_GAINS: Final[dict[str, dict[Objective, int]]] = {
    "3g": {"latency": 63, "energy": 47},
    "4g": {"latency": 21, "energy": 41},
    "wifi": {"latency": 8, "energy": 31},
}
"""The paper's gains over cloud-only (its table 5); their means are the 30× and 40× of its abstract."""
PARTITION_TITLE: Final = "BottleNet, table 4: the chosen partition over each radio"
PARTITION_NOTE: Final = (
    "As in the paper, chosen by its algorithm 1 for latency and for energy, beside all on the cluster and all on the "
    "device. Unlike it, of another backbone, on the 1000 classes of ImageNet and not on 100, and on the machines named "
    "here. Ours loses at most two points; BottleNet's own codec, as it is trained here, loses more, and takes part "
    "with the least that it loses at each point."
)
GAINS_TITLE: Final = "BottleNet, table 5: gains over sending the frame, the paper's own and ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """What one codec's options come to over one link, for latency and for energy."""

    codec: str
    link: Link
    plans: dict[Objective, CutPlan]


def partitions(options: Sequence[CutOption], links: Sequence[Link], *, codecs: Sequence[str]) -> list[Partition]:
    """Let BottleNet's algorithm 1 choose among the cuts of each codec over each link.

    Neither the frame itself nor the whole network is among the choices; the plans have them to compare with, the frame
    as a picture that keeps to ``MOST_DROP``, whatever the codec loses. A codec that has no option within it takes part
    with the option of each point that loses least.

    Raises:
        SettingError: there is no option of any of these codecs.
    """
    found = []
    for codec in codecs:
        own = tuple(option for option in options if option.codec == codec)
        if not own:
            continue
        ends = (*_frames(options), *(option for option in options if not option.bytes))
        for link in links:
            plans = {objective: _plan(own, ends, link, objective) for objective in PAPER_GAINS["3g"]}
            found.append(Partition(codec=codec, link=link, plans=plans))
    if not found:
        raise SettingError(
            f"there is no option of the codecs {', '.join(codecs)}", mend="give a --bundle that has such options"
        )
    return found


def partition_table(found: Sequence[Partition]) -> TextTable:
    """Give table 4."""
    rows: list[tuple[str, ...]] = []
    for link in dict.fromkeys(each.link.name for each in found):
        own = [each for each in found if each.link.name == link]
        rows.extend(
            (link, each.codec, f"least {objective}", *_cells(plan.chosen))
            for each in own
            for objective, plan in each.plans.items()
        )
        rows.append((link, "", "cluster only", *_cells(own[0].plans["latency"].cluster_only)))
        rows.append((link, "", "device only", *_cells(own[0].plans["latency"].device_only)))
    headings = ("link", "codec", "way", "partition", "points lost", "bytes", "ms", "mJ")
    return TextTable(PARTITION_TITLE, headings, tuple(rows), texts=4)


def gain_table(found: Sequence[Partition]) -> TextTable:
    """Give table 5."""
    links = list(dict.fromkeys(each.link.name for each in found))
    codecs = list(dict.fromkeys(each.codec for each in found))
    rows = tuple(
        (
            link, objective, f"{PAPER_GAINS[link][objective]}×" if link in PAPER_GAINS else NONE,
            *(times(_gain(found, link, codec, objective)) for codec in codecs),
        )
        for link in links
        for objective in PAPER_GAINS["3g"]
    )  # fmt: skip
    lost = (f"{codec} ({_lost(found, codec)} points lost)" for codec in codecs)
    return TextTable(GAINS_TITLE, ("link", "of", "paper", *lost), rows, texts=2)


def reason(found: Sequence[Partition]) -> str:
    """Say why ours are not the paper's gains, with the figures of the first codec."""
    said = []
    for each in found:
        plan = each.plans["latency"]
        if each.codec != found[0].codec or plan.cluster_only is None:
            continue
        device_s, link_s, cluster_s = plan.parts_s(plan.chosen)
        frame_s = plan.parts_s(plan.cluster_only)[1]
        said.append(
            f"over {each.link.name} the link takes {milli(link_s)} ms instead of {milli(frame_s)}, but the device then "
            f"works {milli(device_s)} ms and the cluster {milli(cluster_s)}"
        )
    return (
        "The paper's device has a GPU, so that nearly all of its time is the link's, and sending less is all that "
        f"counts. Here {'; '.join(said)}: what is gained on the link is bounded by what is computed on both sides "
        "of it."
    )


def partition_record(found: Sequence[Partition]) -> list[dict[str, Any]]:
    """Give the same as plain values."""
    return [
        {
            "codec": each.codec, "link": each.link.name, "objective": objective, "option": plan.chosen.option.name,
            "bytes": plan.chosen.option.bytes, "drop": plan.chosen.option.drop,
            "latency_s": plan.chosen.costs.latency_s, "energy_j": plan.chosen.costs.energy_j,
            "gain_over_cluster_only": plan.gain(plan.cluster_only),
            "gain_over_device_only": plan.gain(plan.device_only),
            "paper_gain": PAPER_GAINS.get(each.link.name, {}).get(objective),
        }
        for each in found
        for objective, plan in each.plans.items()
    ]  # fmt: skip


def _plan(own: Sequence[CutOption], ends: Sequence[CutOption], link: Link, objective: Objective) -> CutPlan:
    within = any(option.drop <= MOST_DROP for option in own)
    table = CutTable(tuple(own) if within else _most_accurate(own))
    most_drop = MOST_DROP if within else max(option.drop for option in table.options)
    request = CutRequest(planner="bottlenet", objective=objective, most_drop=most_drop)
    return plan_cut(table, link, request, beside=ends)


def _frames(options: Sequence[CutOption]) -> list[CutOption]:
    frames = sorted((option for option in options if option.point == INPUT), key=lambda option: option.drop)
    return [option for option in frames if option.drop <= MOST_DROP] or frames[:1]


def _most_accurate(options: Sequence[CutOption]) -> tuple[CutOption, ...]:
    best: dict[str, CutOption] = {}
    for option in sorted(options, key=lambda option: (option.drop, option.bytes)):
        best.setdefault(option.point, option)
    return tuple(best.values())


def _cells(choice: Choice | None) -> tuple[str, ...]:
    if choice is None:
        return ("not in this table", *(NONE,) * 4)
    option = choice.option
    name = f"{option.point} {option.rate}"
    return name, drop(option.drop), f"{option.bytes:,.0f}", milli(choice.costs.latency_s), milli(choice.costs.energy_j)


def _lost(found: Sequence[Partition], codec: str) -> str:
    drops = {plan.chosen.option.drop for each in found if each.codec == codec for plan in each.plans.values()}
    ends = dict.fromkeys((drop(min(drops)), drop(max(drops))))
    return " to ".join(ends)


def _gain(found: Sequence[Partition], link: str, codec: str, objective: Objective) -> float | None:
    plan = next(each.plans[objective] for each in found if (each.link.name, each.codec) == (link, codec))
    return plan.gain(plan.cluster_only)
