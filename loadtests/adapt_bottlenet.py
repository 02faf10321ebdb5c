"""BottleNet's comparison for our bundle: its rates, its radios' power, and a Jetson TX2, in virtual time.

Owns how the tables of one device become those of another. The paper's own gains are not here: its table 5 is quoted
where the tables are printed.
"""

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from device_agent.device_prediction import predict_s
from device_agent.known_devices import known_device
from device_agent.power import RADIOS
from device_agent.rules import Goal
from loadtests.adapt_report import CLUSTER_ONLY, DEVICE_ONLY, OURS, Figures, figures
from loadtests.adapt_scenario import WARM_S, AdaptScenario, agent_policy
from loadtests.adapt_virtual import local_row, rows_of, virtual_device
from loadtests.frame_row import PolicyRun
from loadtests.frame_tables import FrameTables
from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.virtual_run import run_policy

DEVICE: Final = "jetson-tx2-nx"
SECONDS: Final = 30.0
MOST_DROP: Final = 0.02
"""BottleNet compares at a loss of at most two points; the frame itself may lose more."""
DEADLINE_S: Final = 1.0
"""It knows none, so ours is one that nobody misses."""
OURS_FOR_ENERGY: Final = "ours, for energy"
POLICIES: Final = (OURS, OURS_FOR_ENERGY, CLUSTER_ONLY, DEVICE_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioGain:
    """What ours and the two ends come to over one radio at its constant rate.

    As BottleNet's algorithm 1, ours chooses once for latency and once for energy.
    """

    radio: str
    mbps: float
    figures: dict[str, Figures]
    points: dict[str, dict[str, float]]
    """Where the frames of each policy were answered, as shares of them."""

    @property
    def latency_gain(self) -> float:
        """The mean latency of sending the frame, for one of ours."""
        return self.figures[CLUSTER_ONLY].mean_ms / self.figures[OURS].mean_ms

    @property
    def energy_gain(self) -> float:
        """The device's energy for sending the frame, for one of ours when it chooses for energy."""
        return self.figures[CLUSTER_ONLY].energy_mj / self.figures[OURS_FOR_ENERGY].energy_mj

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self) | {"latency_gain": self.latency_gain, "energy_gain": self.energy_gain}


def radio_gains(tables: FrameTables, scenario: AdaptScenario) -> list[RadioGain]:
    """Run ours and the two ends over each radio, on the device of BottleNet."""
    on_device = as_on(tables, scenario, DEVICE)
    there = replace(scenario, device=DEVICE, most_drop=MOST_DROP, deadline_s=DEADLINE_S)
    found = []
    for radio, power in RADIOS.items():
        runs = {policy: _run(on_device, there, policy, radio, power.uplink_mbps) for policy in POLICIES}
        by_policy = {policy: figures([run]) for policy, run in runs.items()}
        points = {policy: _points(run) for policy, run in runs.items()}
        found.append(RadioGain(radio=radio, mbps=power.uplink_mbps, figures=by_policy, points=points))
    return found


def as_on(tables: FrameTables, scenario: AdaptScenario, device: str) -> FrameTables:
    """Scale the tables so that the whole network takes what is published or predicted for another device."""
    backbone = scenario.bundle.manifest.backbone
    local = local_row(tables)
    macs = tables.options[local].macs
    whole_s = predict_s(known_device(device), backbone, macs.head + macs.encoder).seconds
    factor = whole_s / float(tables.device_s[local])
    return replace(
        tables,
        device_s=np.asarray(tables.device_s * factor),
        refine_s=np.asarray(tables.refine_s * factor),
        device=f"{device} ({whole_s * 1e3:.1f} ms for the whole network, scaled from {tables.device})",
    )


def _points(run: PolicyRun) -> dict[str, float]:
    counts = Counter(row.answered.partition("/")[0] for row in run.rows)
    return {point: count / len(run.rows) for point, count in counts.most_common()}


def _run(tables: FrameTables, scenario: AdaptScenario, policy: str, radio: str, mbps: float) -> PolicyRun:
    script = LinkScript((Step(0.0, LinkState(mbps, scenario.delay_s)),))
    seconds = WARM_S + SECONDS
    spelled = "auto" if policy == OURS_FOR_ENERGY else agent_policy(policy)
    device = virtual_device(scenario, spelled, radio=radio, seconds=seconds, name=policy)
    if policy == OURS_FOR_ENERGY:
        device = replace(device, rules=replace(device.rules, goal=Goal(energy=1.0)))
    first = round(WARM_S * scenario.fps)
    rows = rows_of(
        tables, run_policy(tables, script, device), began_s=WARM_S, first=first, deadline_s=scenario.deadline_s
    )
    return PolicyRun(rows, device.frames - first)
