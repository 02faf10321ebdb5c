"""How the papers choose, over the same options and limits as ours; to be measured against.

Each keeps what its paper knows and leaves out what it does not: no round trip of an empty exchange, no looks, no queue,
no load of the device, no hysteresis. Pure, like ``planner``.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from device_agent.option_table import Flags, Floats
from device_agent.planner import Decision
from device_agent.policy import PolicyKind
from device_agent.prediction import Costs
from device_agent.snapshot import Snapshot

PAPERS: Final[tuple[PolicyKind, ...]] = ("deepcod", "jalad", "neurosurgeon")


@dataclass(frozen=True, slots=True, eq=False)
class Offline:
    """What was known before the first frame: (options,) seconds of the device without load, and bytes both ways."""

    device_s: Floats
    moved_bytes: Floats


def plan_as(kind: PolicyKind, snapshot: Snapshot, offline: Offline, service_s: Floats) -> Decision:
    """Choose as a paper does; ``service_s`` is the cluster's without queue.

    deepcod: the least of device + bytes / bandwidth + cluster, all as measured lately (Yao et al., SenSys 2020,
        equation 14).
    jalad: the same from tables that were made offline, of times and sizes (Li et al., ICPADS 2018, its integer program
        with one cut, whose optimum is the least of the options within the bound).
    neurosurgeon: a cut and no rate, so the most accurate rate of each point, from an offline profile and the last
        transfer (Kang et al., ASPLOS 2017).
    The bound on the drop is the same for all, so that none is faster by losing more.
    """
    table, estimates = snapshot.table, snapshot.estimates
    costs = Costs.of(estimates)
    if estimates.link is None:
        return Decision(
            table.ids[table.local], costs.at(table.local, estimates), ("the link is down",), gave_way="link_down"
        )
    allowed = snapshot.allowed & estimates.served & (table.drop <= snapshot.limits.drop)
    if kind == "neurosurgeon":
        allowed &= _most_accurate(snapshot)
    if not allowed.any():
        allowed = ~table.sends
    device_s, moved_bytes = (
        (estimates.device_s, estimates.moved_bytes) if kind == "deepcod" else (offline.device_s, offline.moved_bytes)
    )
    total_s = device_s + moved_bytes * estimates.link.s_per_byte + service_s
    row = int(np.where(allowed, total_s, inf).argmin())
    return Decision(table.ids[row], costs.at(row, estimates), (f"as {kind} does, of {int(allowed.sum())}",))


def _most_accurate(snapshot: Snapshot) -> Flags:
    table = snapshot.table
    kept = np.zeros(len(table.ids), bool)
    for point in np.unique(table.point_of):
        rows = np.flatnonzero(table.point_of == point)
        kept[rows[table.drop[rows].argmin()]] = True
    return kept
