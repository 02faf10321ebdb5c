"""The plan of a single cut: what a paper's planner chooses over a link, beside leaving all to one side.

Owns which options each planner may choose from, and the two plans without a choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from cluster.planning.jalad import jalad
from cluster.planning.single_cut import Choice, bottlenet, costs, neurosurgeon
from cluster.planning.tables import CutOption, CutTable, Link, Objective
from wire.errors import SettingError

Planner = Literal["neurosurgeon", "jalad", "bottlenet"]

INPUT: Final = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRequest:
    """What is asked of a planner.

    Raises:
        SettingError: the planner knows nothing of what is asked.
    """

    planner: Planner
    objective: Objective = "latency"
    most_drop: float = 0.02
    """The share of top-1 answers that an option may lose."""
    k_mobile: float = 1.0
    """BottleNet's load of the device: its seconds are multiplied by it."""
    k_cloud: float = 1.0
    """The load of the cluster, BottleNet's and Neurosurgeon's."""

    def __post_init__(self) -> None:
        if self.planner == "jalad" and (self.objective, self.k_mobile, self.k_cloud) != ("latency", 1, 1):
            raise SettingError(
                "JALAD's program makes the latency without load least, and knows nothing else",
                mend="plan with bottlenet, or without an objective and load factors",
            )
        if self.planner == "neurosurgeon" and self.k_mobile != 1:
            raise SettingError(
                "Neurosurgeon knows a load of the cluster, and none of the device", mend="plan with bottlenet"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPlan:
    """What came of a request over one link; every cost is with the request's loads."""

    request: CutRequest
    link: Link
    choices: tuple[Choice, ...]
    """What the planner chose from."""
    chosen: Choice
    device_only: Choice | None
    """None where the table has no such option."""
    cluster_only: Choice | None
    """The frame itself is sent: of the ways within the bound on the drop the best, or else the one that loses least."""

    def parts_s(self, choice: Choice) -> tuple[float, float, float]:
        """Give the seconds of device, link and cluster of a choice."""
        link_s = self.link.upload_s(choice.option.bytes)
        return choice.option.device_s * self.request.k_mobile, link_s, choice.costs.cluster_s

    def parts_j(self, choice: Choice) -> tuple[float, float]:
        """Give the joules of the device's computation and of its radio."""
        return choice.option.device_energy_j * self.request.k_mobile, self.link.upload_j(choice.option.bytes)

    def cost(self, choice: Choice) -> float:
        """Give what the objective makes least: seconds or joules."""
        return choice.costs.least_first(self.request.objective)[0]

    def gain(self, over: Choice | None) -> float | None:
        """Give the cost of a plan for one of the choice; None where it cannot be said."""
        own = self.cost(self.chosen)
        return self.cost(over) / own if over and own else None

    def best_of_each_point(self) -> tuple[Choice, ...]:
        """Give at each point the best of what was chosen from, the least work of the device first."""
        best: dict[str, Choice] = {}
        for choice in sorted(self.choices, key=self.cost):
            best.setdefault(choice.option.point, choice)
        return tuple(sorted(best.values(), key=lambda choice: -choice.option.cluster_share))

    def in_picture(self) -> tuple[Choice, ...]:
        """Give these, between the frame itself and the whole network on the device where they have no such option."""
        best = self.best_of_each_point()
        points = {choice.option.point for choice in best}
        ends = [
            end if end and end.option.point not in points else None for end in (self.cluster_only, self.device_only)
        ]
        first, last = ([end] if end else [] for end in ends)
        return (*first, *best, *last)


def plan_cut(table: CutTable, link: Link, request: CutRequest, *, beside: Sequence[CutOption] = ()) -> CutPlan:
    """Let a planner choose over a link; the options ``beside`` the table are only there to compare with.

    All choose from the options that lose no more than ``most_drop``, so that none is better by losing more: JALAD by
    its own constraint; Neurosurgeon, which sends features as they are, from the most accurate one at each point;
    BottleNet from the smallest one at each point, which its algorithm 1 chooses in the training phase.

    Raises:
        SettingError: every option loses more than ``most_drop``.
    """
    price = partial(costs, link=link, k_mobile=request.k_mobile, k_cloud=request.k_cloud)
    offered = _offered(table, request)
    every = [Choice(option, price(option)) for option in (*table.options, *beside)]
    return CutPlan(
        request=request,
        link=link,
        choices=tuple(Choice(option, price(option)) for option in offered),
        chosen=_chosen(CutTable(offered), link, request),
        device_only=_device_only(every),
        cluster_only=_cluster_only(every, request),
    )


def _offered(table: CutTable, request: CutRequest) -> tuple[CutOption, ...]:
    within = tuple(option for option in table.options if option.drop <= request.most_drop)
    if not within:
        least = min(option.drop for option in table.options)
        raise SettingError(
            f"no option loses {request.most_drop * 100:.3g} points or less; the least there is is {least * 100:.3g}",
            mend="allow a larger --max-drop",
        )
    match request.planner:
        case "neurosurgeon":
            return _one_a_point(sorted(within, key=lambda option: (option.drop, option.bytes)))
        case "bottlenet":
            return _one_a_point(sorted(within, key=lambda option: (option.bytes, option.drop)))
        case "jalad":
            return within


def _one_a_point(options: Sequence[CutOption]) -> tuple[CutOption, ...]:
    first: dict[str, CutOption] = {}
    for option in options:
        first.setdefault(option.point, option)
    return tuple(first.values())


def _chosen(table: CutTable, link: Link, request: CutRequest) -> Choice:
    match request.planner:
        case "neurosurgeon":
            return neurosurgeon(table, link, objective=request.objective, k_cloud=request.k_cloud)
        case "bottlenet":
            return bottlenet(
                table, link, objective=request.objective, k_mobile=request.k_mobile, k_cloud=request.k_cloud
            )
        case "jalad":
            return jalad(table, link, most_drop=request.most_drop)


def _device_only(choices: Sequence[Choice]) -> Choice | None:
    return next((choice for choice in choices if not choice.option.bytes and not choice.option.cluster_s), None)


def _cluster_only(choices: Sequence[Choice], request: CutRequest) -> Choice | None:
    frames = [choice for choice in choices if choice.option.point == INPUT]
    within = [choice for choice in frames if choice.option.drop <= request.most_drop]
    if within:
        return min(within, key=lambda choice: choice.costs.least_first(request.objective))
    return min(frames, key=lambda choice: choice.option.drop, default=None)
