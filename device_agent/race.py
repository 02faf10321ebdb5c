"""When the device begins its own answer as soon as a frame is sent, and what that spares. Pure.

A device that has sent a frame early has nothing to do until the answer comes. Where that is not certain to be sooner
than its own would be, it begins the whole network at once, and the first of the two answers counts.
"""

from math import exp, log1p
from typing import Final

from device_agent.limits_kept import LEAST_SD_S, LOGISTIC
from device_agent.prediction import Costs
from device_agent.snapshot import Snapshot

OUTRUN: Final = "outrun"
"""Why the cluster did not answer: the device was sooner."""
LEAST_SPARED_S: Final = 0.003
"""A race has to spare so much of a frame's expected latency, or the device rests."""


def spared_s(snapshot: Snapshot, costs: Costs, row: int) -> float:
    """Give the seconds of expected latency that a race spares an option; 0 where there is none.

    That is E[max(T - L, 0)] for an answer that takes T, about normally distributed, and the device's own that takes L:
    the head, and the whole network behind it; where nobody knows that yet, there is no race. It has to be worth the
    energy, by the goal's weights and by the limits.
    """
    estimates, goal, table = snapshot.estimates, snapshot.goal, snapshot.table
    local_s = float(estimates.device_s[table.local])
    if not (snapshot.races and table.sends[row] and local_s > 0):
        return 0.0
    beside_s = float(costs.total_s[row] - estimates.device_s[row])
    sd_s = max(float(costs.link_sd_s[row]), LEAST_SD_S) / LOGISTIC
    behind = (beside_s - local_s) / sd_s
    spared = sd_s * (max(behind, 0.0) + log1p(exp(-abs(behind))))
    beside_j = estimates.energy.extra_w * min(beside_s, local_s)
    worth = goal.latency * (spared - LEAST_SPARED_S) > goal.energy * beside_j
    return spared if worth and costs.energy_j[row] + beside_j <= snapshot.limits.energy_j else 0.0
