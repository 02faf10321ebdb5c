"""The planner: a pure function from what is known now to the option for the next frame.

Owns the snapshot, the decision and the choice; reads no clock, draws no random number and does no I/O. Some columns of
numpy, and no object for an option: it is asked for every frame.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkView
from device_agent.option_table import Flags, Floats, OptionTable
from device_agent.rules import Goal
from wire.ids import OptionId

CAUTION: Final = 1.64
"""Standard deviations of the link that a deadline has to bear: with them 95 % of normal transfers are in time."""
MARGIN: Final = 0.03
"""An option has to be better by so much of the cost of the one that is held, or it is not worth a move."""
MOVE_PRICE_S: Final = 0.001
"""And by so much latency more, for what is cold after a move: caches, tables, a stream."""
LEAST_CHANCE: Final = 0.1
"""Of a move that the cluster's load alone asks for, at each frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What every option costs as it looks now; row i of each column is the option of the table's row i."""

    device_s: Floats
    """Of head and entropy coder; of the whole network for the option that sends nothing."""
    moved_bytes: Floats
    """Both ways, of all of a frame's messages."""
    looks: Floats
    """The expected number of exchanges: more than 1 where an uncertain answer is asked again."""
    cluster_s: Floats
    """Of one exchange, with the queue."""
    served: Flags
    """Whether the cluster answers at the option's point; the option that sends nothing always is."""
    link: LinkView | None
    """None while the link is down."""
    energy: EnergyModel


@dataclass(frozen=True, slots=True)
class Limits:
    """What this frame may cost at most, now: the constraints, and what is left of the allowances."""

    drop: float = 1.0
    latency_s: float = inf
    energy_j: float = inf
    cluster_s: float = inf
    bytes: float = inf


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that the planner looks at.

    ``held`` is the row of the option of the frame before, if there was one, and ``draw`` a random number of [0, 1) for
    moves that are made by chance. ``calm`` turns hysteresis and chance on.
    """

    table: OptionTable
    estimates: Estimates
    allowed: Flags
    chooses: bool
    """Whether the policy leaves out what is not served, or insists."""
    goal: Goal
    limits: Limits
    due_s: float
    now_s: float
    held: int | None = None
    draw: float = 0.0
    calm: bool = True


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted seconds of one frame, part by part, with the device's joules and the bytes both ways."""

    device_s: float
    link_s: float
    cluster_s: float
    energy_j: float = 0.0
    bytes: float = 0.0
    link_sd_s: float = 0.0
    """Standard deviation of ``link_s``, by what is known of the link."""

    @property
    def total_s(self) -> float:
        """Device, link and cluster together, in seconds."""
        return self.device_s + self.link_s + self.cluster_s


@dataclass(frozen=True, slots=True)
class Decision:
    """The option chosen, what is expected of it, and why; ``link_down`` if the policy had to give way.

    ``broken`` names the constraints that it does not keep, since none of the options keeps them all.
    """

    option_id: OptionId
    prediction: Prediction
    reasons: tuple[str, ...]
    link_down: bool = False
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """The predicted cost of every option: device + link + cluster, as DeepCOD's equation 14 has it.

    DeepCOD takes bytes / bandwidth for the link; we add the round trip of an exchange of no bytes, which for codes of a
    few hundred bytes is most of the time on the link. Every further look costs that round trip and the time on the
    cluster once more. Energy is that of the processor and of the radio (Huang et al., MobiSys 2012).
    """

    link_s: Floats
    link_sd_s: Floats
    cluster_s: Floats
    total_s: Floats
    energy_j: Floats
    moved_bytes: Floats

    @classmethod
    def of(cls, estimates: Estimates) -> "Costs":
        """Predict every option on a link that is up, or as if it were where it is down."""
        link = estimates.link or LinkView(0.0, 0.0)
        looks, moved = estimates.looks, estimates.moved_bytes
        transfer_s = moved * link.s_per_byte
        link_s = looks * link.base_s + transfer_s
        cluster_s = looks * estimates.cluster_s
        variance = (looks * link.base_sd_s) ** 2 + (moved * link.s_per_byte_sd) ** 2
        return cls(
            link_s=link_s,
            link_sd_s=np.sqrt(variance),
            cluster_s=cluster_s,
            total_s=estimates.device_s + link_s + cluster_s,
            energy_j=estimates.energy.frame_j(estimates.device_s, moved, transfer_s),
            moved_bytes=moved,
        )

    def at(self, row: int, estimates: Estimates) -> Prediction:
        """Give the prediction of one option."""
        return Prediction(
            device_s=float(estimates.device_s[row]),
            link_s=float(self.link_s[row]),
            cluster_s=float(self.cluster_s[row]),
            energy_j=float(self.energy_j[row]),
            bytes=float(self.moved_bytes[row]),
            link_sd_s=float(self.link_sd_s[row]),
        )


def plan(snapshot: Snapshot) -> Decision:
    """Choose the option that costs least of those within the limits, and keep the one that is held if it is near.

    Where none is within the limits, it is the one that is least over them, by the sum of the shares.
    """
    table, estimates = snapshot.table, snapshot.estimates
    costs = Costs.of(estimates)
    allowed = snapshot.allowed & estimates.served if snapshot.chooses else snapshot.allowed
    if estimates.link is None:
        return _alone(snapshot, costs, allowed)
    if not allowed.any():
        allowed = ~table.sends
    score = _score(costs, snapshot.goal)
    over = _over(snapshot, costs)
    within = allowed & (over <= 0)
    broken: tuple[str, ...] = ()
    if within.any():
        best = int(np.where(within, score, inf).argmin())
        row = _kept(snapshot, costs, score, within, best) if snapshot.calm else best
    else:
        least = np.where(allowed, over, inf)
        row = int(np.where(least <= least.min() * (1 + 1e-9), score, inf).argmin())
        broken = _broken(snapshot, costs, row)
    reasons = _reasons(snapshot, score, allowed, within, row, broken)
    return Decision(table.ids[row], costs.at(row, estimates), reasons, broken=broken)


def _alone(snapshot: Snapshot, costs: Costs, allowed: Flags) -> Decision:
    table = snapshot.table
    row = table.local
    gave_way = bool((allowed & table.sends).any())
    broken = _broken(snapshot, costs, row)
    return Decision(
        table.ids[row],
        costs.at(row, snapshot.estimates),
        ("the link is down",) if gave_way else ("nothing is to be sent",),
        link_down=gave_way,
        broken=broken,
    )


def _score(costs: Costs, goal: Goal) -> Floats:
    score = goal.latency * costs.total_s
    if goal.energy:
        score = score + goal.energy * costs.energy_j
    if goal.bytes:
        score = score + goal.bytes * 1e-3 * costs.moved_bytes
    return score


def _measures(snapshot: Snapshot, costs: Costs) -> tuple[tuple[str, Floats, float], ...]:
    """Give what is limited, with its values and its limit; only what has a limit."""
    limits = snapshot.limits
    left_s = limits.latency_s - (snapshot.now_s - snapshot.due_s)
    every = (
        ("drop", snapshot.table.drop, limits.drop if limits.drop < 1 else inf),
        ("deadline", costs.total_s + CAUTION * costs.link_sd_s, left_s),
        ("energy", costs.energy_j, limits.energy_j),
        ("cluster time", costs.cluster_s, limits.cluster_s),
        ("bytes", costs.moved_bytes, limits.bytes),
    )
    return tuple((name, values, limit) for name, values, limit in every if limit < inf)


def _over(snapshot: Snapshot, costs: Costs) -> Floats:
    """Sum up by how much each option is over the limits, each excess as a share of the limit; 0 within them all."""
    over: Floats = np.zeros(len(snapshot.table.ids))
    for name, values, limit in _measures(snapshot, costs):
        over += np.maximum(values - limit, 0.0) / max(limit, _LEAST_SHARE[name])
    return over


_LEAST_SHARE: Final = {"drop": 1e-3, "deadline": 1e-3, "energy": 1e-3, "cluster time": 1e-3, "bytes": 100.0}
"""What stands in for a limit of nothing, or for an allowance that is overdrawn, where there is no share."""


def _broken(snapshot: Snapshot, costs: Costs, row: int) -> tuple[str, ...]:
    return tuple(name for name, values, limit in _measures(snapshot, costs) if values[row] > limit)


def _kept(snapshot: Snapshot, costs: Costs, score: Floats, within: Flags, best: int) -> int:
    """Hold on to the option of the frame before, unless another is better by enough, and chance has it.

    A crowd that follows one published number moves all at once, and makes the number swing. What the device's own link
    and processor say is its own alone: a move is made with the chance that is their part of the gain, so at once where
    the cluster has nothing to do with it, and now and then where its load is the only reason.
    """
    held = snapshot.held
    if held is None or held == best or not within[held]:
        return best
    gain = score[held] - score[best]
    if gain <= MARGIN * score[held] + snapshot.goal.latency * MOVE_PRICE_S:
        return held
    from_cluster = snapshot.goal.latency * (costs.cluster_s[held] - costs.cluster_s[best])
    own = (gain - from_cluster) / gain
    return best if snapshot.draw < max(own, LEAST_CHANCE) else held


def _reasons(
    snapshot: Snapshot, score: Floats, allowed: Flags, within: Flags, row: int, broken: tuple[str, ...]
) -> tuple[str, ...]:
    table = snapshot.table
    candidates = within if not broken else allowed
    count = int(candidates.sum())
    reasons = []
    if broken:
        reasons.append(f"none keeps all limits; least over: {', '.join(broken)}")
    if count > 1:
        others = np.where(candidates, score, inf)
        others[row] = inf
        second = int(others.argmin())
        verb = "held, though better" if others[second] < score[row] and not broken else "next"
        reasons.append(f"one of {count}; {verb} {table.names[second]} by {abs(others[second] - score[row]) * 1e3:.1f}")
    left_out = int(allowed.sum()) - count
    if left_out:
        reasons.append(f"{left_out} over a limit")
    unserved = int((snapshot.allowed & ~snapshot.estimates.served).sum()) if snapshot.chooses else 0
    if unserved:
        reasons.append(f"{unserved} not served now")
    return tuple(reasons)
