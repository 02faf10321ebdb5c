"""Which options keep the limits, and how far over them the others are. Pure; columns over the options."""

from math import inf
from typing import Final

import numpy as np

from device_agent.option_table import Floats
from device_agent.patience import alone_s
from device_agent.prediction import Costs
from device_agent.snapshot import Snapshot

MOST_MISSED: Final = 0.05
"""A deadline counts as kept by an option that misses it with at most this chance, by what is known of the link."""
MISS_PRICE: Final = 0.4
"""Where none keeps the deadline: a frame that misses it is as bad as one that comes so many deadlines later."""
LOGISTIC: Final = 1.702
"""The logistic distribution is near the normal one with so many standard deviations (Bowling et al., 2009)."""
LEAST_SD_S: Final = 0.0005
"""However much is known of a link, an answer differs by so much."""
_LEAST_SHARE: Final = {"drop": 1e-3, "energy": 1e-3, "cluster time": 1e-3, "bytes": 100.0}
"""What stands in for a limit of nothing, or for an allowance that is overdrawn, where there is no share."""


def over_budgets(snapshot: Snapshot, costs: Costs) -> Floats:
    """Sum up by how much each option is over the limits but for the deadline, as shares of them; 0 within them all."""
    over: Floats = np.zeros(len(snapshot.table.ids))
    for name, values, limit in _measures(snapshot, costs):
        over += np.maximum(values - limit, 0.0) / max(limit, _LEAST_SHARE[name])
    return over


def chance_missed(snapshot: Snapshot, costs: Costs) -> Floats:
    """Give the chance of each option to miss the deadline; 0 where there is none.

    And 0 where the device can begin its own answer in time for it while the cluster's is still awaited. Else that of a
    normal distribution, by its logistic approximation.
    """
    if snapshot.limits.latency_s == inf:
        return np.zeros(len(snapshot.table.ids))
    left_s = snapshot.limits.latency_s - (snapshot.now_s - snapshot.due_s)
    device_s = snapshot.estimates.device_s
    odds = (left_s - costs.total_s) / np.maximum(costs.link_sd_s, LEAST_SD_S)
    odds = np.minimum(np.maximum(odds, -20.0), 20.0)
    chance: Floats = 1.0 / (1.0 + np.exp(LOGISTIC * odds))
    hedged = snapshot.table.sends & (device_s <= alone_s(left_s, float(device_s[snapshot.table.local])))
    chance[hedged] = 0.0
    return chance


def lateness(snapshot: Snapshot, costs: Costs, missed: Floats) -> Floats:
    """Weigh options of which none keeps the deadline: their time as a share of it, and the price of missing it.

    By the chance alone, the one that is late by seconds now and then would win against one that is late by little.
    """
    if snapshot.limits.latency_s == inf:
        return missed
    return costs.total_s / snapshot.limits.latency_s + MISS_PRICE * missed


def broken_by(snapshot: Snapshot, costs: Costs, missed: Floats, row: int) -> tuple[str, ...]:
    """Name the limits that an option does not keep."""
    names = tuple(name for name, values, limit in _measures(snapshot, costs) if values[row] > limit)
    return ("deadline", *names) if missed[row] > MOST_MISSED else names


def _measures(snapshot: Snapshot, costs: Costs) -> tuple[tuple[str, Floats, float], ...]:
    """Give what is limited but for the time, with its values and its limit; only what has a limit."""
    limits = snapshot.limits
    every = (
        ("drop", snapshot.table.drop, limits.drop if limits.drop < 1 else inf),
        ("energy", costs.energy_j, limits.energy_j),
        ("cluster time", costs.cluster_s, limits.cluster_s),
        ("bytes", costs.moved_bytes, limits.bytes),
    )
    return tuple((name, values, limit) for name, values, limit in every if limit < inf)
