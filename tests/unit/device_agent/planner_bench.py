"""Four options of a small bundle, everything known of them, and what the planner makes of that."""

from dataclasses import replace

import numpy as np

from device_agent.energy import EnergyModel
from device_agent.link_view import LinkView
from device_agent.option_table import OptionTable
from device_agent.planner import Decision, plan
from device_agent.policy import parse_policy
from device_agent.rules import LATENCY
from device_agent.snapshot import Estimates, Limits, Snapshot
from wire.ids import OptionId, PointName

LINK = LinkView(base_s=0.002, s_per_byte=1e-6)
INPUT, EARLY, EARLY_SMALL, OUTPUT = range(4)
TABLE = OptionTable(
    ids=tuple(OptionId(10 + row) for row in range(4)),
    names=("input/r1", "blocks.2/r1", "blocks.2/r2", "output/whole"),
    points=(PointName("input"), PointName("blocks.2")),
    point_of=np.array([0, 1, 1, -1]),
    sends=np.array([True, True, True, False]),
    drop=np.array([0.04, 0.01, 0.08, 0.0]),
    local=OUTPUT,
)
ESTIMATES = Estimates(
    device_s=np.array([0.002, 0.010, 0.010, 0.060]),
    moved_bytes=np.array([20_000.0, 3_000.0, 1_000.0, 0.0]),
    bytes_sd=np.zeros(4),
    looks=np.array([1.0, 1.0, 1.0, 0.0]),
    cluster_s=np.array([0.003, 0.003, 0.003, 0.0]),
    served=np.ones(4, bool),
    closed=np.zeros(4, bool),
    asleep=np.zeros(4, bool),
    link=LINK,
    energy=EnergyModel(),
)


def snapshot(policy: str = "auto", **changes) -> Snapshot:
    """Everything allowed and nothing held, but for the changes; those of the estimates go there."""
    estimates = {name: changes.pop(name) for name in tuple(changes) if name in Estimates.__slots__}
    parsed = parse_policy(policy)
    fields = {
        "table": TABLE,
        "estimates": replace(ESTIMATES, **estimates),
        "allowed": TABLE.allowed_by(parsed),
        "goal": LATENCY,
        "limits": Limits(),
        "due_s": 5.0,
        "now_s": 5.0,
    }
    return Snapshot(**(fields | changes))


def chosen(policy: str = "auto", **changes) -> int:
    return TABLE.ids.index(plan(snapshot(policy, **changes)).option_id)


def decided(policy: str = "auto", **changes) -> Decision:
    return plan(snapshot(policy, **changes))
