"""The planner: a pure function from what is known now to the option for the next frame.

Owns the decision and the choice; reads no clock, draws no random number and does no I/O. Some columns of
numpy, and no object for an option: it is asked for every frame.
"""

from dataclasses import dataclass
from math import exp, inf
from typing import Final, Literal

import numpy as np

from device_agent.limits_kept import MOST_MISSED, broken_by, chance_missed, lateness, over_budgets
from device_agent.option_table import Flags, Floats
from device_agent.prediction import Costs, Prediction
from device_agent.race import spared_s
from device_agent.rules import LATENCY, Goal
from device_agent.snapshot import Held, Snapshot
from wire.ids import OptionId

MARGIN: Final = 0.03
"""An option has to be better by so much of the cost of the one that is held, or it is not worth a move."""
MOVE_PRICE_S: Final = 0.001
"""And by so much latency more, for what is cold after a move: caches, tables, a stream."""
CALM_S: Final = 0.75
"""A change of the cluster's load is followed within such a time, by chance: some agents sooner and some later."""
LOAD_MARGIN: Final = 0.06
"""And only where it gains more than such a share of the held option's cost: what is published is never quite still."""
FULL_GAIN: Final = 0.15
"""By so much more is it followed as soon as that; by less, so much later."""
MOST_CALM_S: Final = 15.0
BACK_OFF: Final = 2.0
"""By such a factor the time grows after which load that has become less is followed, when it was followed too soon."""
STAYS: Final = 4.0
"""It was not too soon if the agent stays so many times as long."""
OUTAGE_S: Final = 2.0
"""For so long after an outage, a change of load is no news to be followed by chance: it came unheard."""
_TIE: Final = 1e-6

GaveWay = Literal["link_down", "unserved"]
_GAVE_WAY: Final[dict[GaveWay, str]] = {"link_down": "the link is down", "unserved": "no point takes frames now"}


@dataclass(frozen=True, slots=True)
class Decision:
    """The option chosen, what is expected of it, and why.

    ``gave_way`` says why the device answers alone though the policy would ask the cluster: ``link_down``, or
    ``unserved`` while no point that it may ask takes frames. ``broken`` names the constraints that the option does not
    keep, since none of the options keeps them all. ``is_best`` is false for an option that is held though another is
    better. ``ahead`` is an option that would be better if the stream to its point were open and its point awake, which
    can be seen to before one of the next frames.
    """

    option_id: OptionId
    prediction: Prediction
    reasons: tuple[str, ...]
    gave_way: GaveWay | None = None
    broken: tuple[str, ...] = ()
    is_best: bool = True
    ahead: OptionId | None = None


def plan(snapshot: Snapshot) -> Decision:
    """Choose the option that costs least of those within the limits, and keep the one that is held if it is near.

    A deadline is given up before any other limit, since no choice can promise it. Where none keeps the others either,
    the one is chosen that is least over them, by the sum of the shares.
    """
    table, estimates = snapshot.table, snapshot.estimates
    costs = Costs.of(estimates)
    missed = chance_missed(snapshot, costs)
    allowed = snapshot.allowed & estimates.served
    if estimates.link is None:
        return _alone(snapshot, costs, missed, "link_down")
    if not allowed.any():
        return _alone(snapshot, costs, missed, "unserved")
    score = _score(costs, snapshot.goal)
    over = over_budgets(snapshot, costs)
    affordable = allowed & (over <= 0)
    within = affordable & (missed <= MOST_MISSED)
    is_best = True
    if within.any():
        best = int(np.where(within, score, inf).argmin())
        row = _kept(snapshot, costs, score, within, best) if snapshot.calm else best
        is_best = row == best
    else:
        late = lateness(snapshot, costs, missed)
        # Where the others cannot be kept either, time decides only between those that are as little over them.
        weighed = np.where(affordable, late, inf) if affordable.any() else np.where(allowed, over + _TIE * late, inf)
        row = int(weighed.argmin())
    broken = broken_by(snapshot, costs, missed, row)
    reasons = _reasons(snapshot, score, allowed, within, row, broken)
    ahead = _ahead(snapshot, costs, score, over, row)
    prediction = costs.at(row, estimates, spared_s=spared_s(snapshot, costs, row))
    if prediction.races:
        reasons = (*reasons, f"the device's own answer beside it spares {prediction.spared_s * 1e3:.1f} ms")
    return Decision(table.ids[row], prediction, reasons, broken=broken, is_best=is_best, ahead=ahead)


def _alone(snapshot: Snapshot, costs: Costs, missed: Floats, why: GaveWay) -> Decision:
    table = snapshot.table
    row = table.local
    gave_way = why if (snapshot.allowed & table.sends).any() else None
    return Decision(
        table.ids[row],
        costs.at(row, snapshot.estimates),
        (_GAVE_WAY[gave_way],) if gave_way else ("nothing is to be sent",),
        gave_way=gave_way,
        broken=broken_by(snapshot, costs, missed, row),
    )


def _score(costs: Costs, goal: Goal) -> Floats:
    score = goal.latency * costs.total_s
    if goal.energy:
        score = score + goal.energy * costs.energy_j
    if goal.bytes:
        score = score + goal.bytes * 1e-3 * costs.moved_bytes
    return score


def _kept(snapshot: Snapshot, costs: Costs, score: Floats, within: Flags, best: int) -> int:
    """Hold on to the option of the frame before, unless another is better by enough, and chance has it.

    A crowd that follows published numbers moves all at once, away and back again, and makes the numbers swing. What the
    device's own link and processor say is its own alone. So a move is made with the chance that is their part of the
    gain, at once where the cluster has nothing to do with it; and what a change of load since the option was the best
    one adds or takes away is followed by chance. Leaving a busy point takes some ``CALM_S``; going where load has
    become less takes as long as experience says (``Held.calm_s``); and either the longer, the smaller the gain. Moves
    in proportion to the relative gain come to rest though what is published is old (Fischer and Vöcking, "Adaptive
    routing with stale information", PODC 2005); moves whatever the gain is go on to and fro.
    """
    held = snapshot.held
    if held is None or held.row == best or not within[held.row]:
        return best
    gain = score[held.row] - score[best]
    if gain <= MARGIN * score[held.row] + snapshot.goal.latency * MOVE_PRICE_S:
        return held.row
    if snapshot.now_s - held.down_s < OUTAGE_S:
        return best
    change_s = snapshot.estimates.looks * (snapshot.estimates.cluster_s - held.cluster_s)
    worse_s, freed_s = change_s[held.row], -change_s[best]
    own = (gain - snapshot.goal.latency * (worse_s + freed_s)) / gain
    calm_s = CALM_S if worse_s > freed_s else held.calm_s
    speed = min(max(gain / score[held.row] - LOAD_MARGIN, 0.0) / FULL_GAIN, 1.0)
    chance = 1.0 - exp(-(snapshot.now_s - held.at_s) * speed / calm_s)
    return best if snapshot.draw < max(own, chance) else held.row


def next_calm_s(held: Held, snapshot: Snapshot) -> float:
    """Give the time within which load that has become less is followed, after a move away from what was held.

    Whoever is driven out soon by others' load was not alone in coming: the next time takes longer, and so ever fewer
    come at a time, until no more come than there is room for. Whoever stayed for long may come sooner again.
    """
    driven = snapshot.estimates.cluster_s[held.row] - held.cluster_s[held.row] > MOVE_PRICE_S
    soon = snapshot.now_s - held.since_s < STAYS * held.calm_s
    if not driven:
        return held.calm_s
    return min(held.calm_s * BACK_OFF, MOST_CALM_S) if soon else max(held.calm_s / BACK_OFF, CALM_S)


def _ahead(snapshot: Snapshot, costs: Costs, score: Floats, over: Floats, row: int) -> OptionId | None:
    """Name the option that would be worth a move but for its stream or its sleep, or that is chosen all the same."""
    estimates = snapshot.estimates
    if not estimates.closed.any():
        return None
    could_be = snapshot.allowed & (estimates.served | estimates.asleep) & (over <= 0)
    opened = np.where(could_be, score - snapshot.goal.latency * costs.opening_s * estimates.closed, inf)
    best = int(opened.argmin())
    if estimates.closed[best] and opened[best] < (1 - MARGIN) * score[row]:
        return snapshot.table.ids[best]
    return None


def _reasons(
    snapshot: Snapshot, score: Floats, allowed: Flags, within: Flags, row: int, broken: tuple[str, ...]
) -> tuple[str, ...]:
    table = snapshot.table
    candidates = within if not broken else allowed
    count = int(np.count_nonzero(candidates))
    reasons = []
    if broken:
        reasons.append(f"none keeps all limits; least over: {', '.join(broken)}")
    if count > 1:
        others = np.where(candidates, score, inf)
        others[row] = inf
        second = int(others.argmin())
        verb = "held, though better" if others[second] < score[row] and not broken else "next"
        unit = " ms" if snapshot.goal == LATENCY else " thousandths of the weighted sum"
        reasons.append(
            f"one of {count}; {verb} {table.names[second]} by {abs(others[second] - score[row]) * 1e3:.1f}{unit}"
        )
    left_out = int(np.count_nonzero(allowed)) - count
    if left_out:
        reasons.append(f"{left_out} over a limit")
    unserved = int(np.count_nonzero(snapshot.allowed & ~snapshot.estimates.served))
    if unserved:
        reasons.append(f"{unserved} not served now")
    return tuple(reasons)
