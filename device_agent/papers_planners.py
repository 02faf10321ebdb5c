"""How the papers choose, over the same options and limits as ours; to be measured against.

Each keeps what its paper knows and leaves out what it does not: no round trip of an empty exchange, no looks, no queue,
no load of the device, no hysteresis. Pure, like ``planner``.
"""

from math import inf
from typing import Final

import numpy as np

from device_agent.option_table import Flags, Floats
from device_agent.planner import Costs, Decision, Snapshot
from device_agent.policy import PolicyKind

PAPERS: Final[tuple[PolicyKind, ...]] = ("deepcod", "jalad", "neurosurgeon")


def plan_as(kind: PolicyKind, snapshot: Snapshot, profile_s: Floats, service_s: Floats) -> Decision:
    """Choose as a paper does; ``profile_s`` is the device's without load, ``service_s`` the cluster's without queue.

    deepcod: the least of device + bytes / bandwidth + cluster (Yao et al., SenSys 2020, equation 14).
    jalad: the same under a bound on the drop, from an offline profile (Li et al., ICPADS 2018, its integer program with
        one cut, whose optimum is the least of the options within the bound).
    neurosurgeon: a cut and no rate, so the most accurate rate of each point, from profiles and the last transfer
        (Kang et al., ASPLOS 2017).
    The bound on the drop is the same for all, so that none is faster by losing more.
    """
    table, estimates = snapshot.table, snapshot.estimates
    costs = Costs.of(estimates)
    if estimates.link is None:
        return Decision(table.ids[table.local], costs.at(table.local, estimates), ("the link is down",), link_down=True)
    allowed = snapshot.allowed & estimates.served & (table.drop <= snapshot.limits.drop)
    if kind == "neurosurgeon":
        allowed &= _most_accurate(snapshot)
    if not allowed.any():
        allowed = ~table.sends
    total_s = profile_s + estimates.moved_bytes * estimates.link.s_per_byte + service_s
    row = int(np.where(allowed, total_s, inf).argmin())
    return Decision(table.ids[row], costs.at(row, estimates), (f"as {kind} does, of {int(allowed.sum())}",))


def _most_accurate(snapshot: Snapshot) -> Flags:
    table = snapshot.table
    kept = np.zeros(len(table.ids), bool)
    for point in np.unique(table.point_of):
        rows = np.flatnonzero(table.point_of == point)
        kept[rows[table.drop[rows].argmin()]] = True
    return kept
