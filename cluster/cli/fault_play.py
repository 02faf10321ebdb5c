"""The stages of ``isthmus bench faults``: the cluster, the agents, and one fault after the other.

Owns their order, and what is said meanwhile.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from cluster.cli.fault_catalogue import NEEDS_DISK, catalogue
from cluster.cli.fault_cluster import FaultCluster
from cluster.cli.screen import notes
from loadtests.adapt_outcome import Loads
from loadtests.adapt_scenario import AdaptScenario
from loadtests.child import Child
from loadtests.clip_pictures import write_pictures
from loadtests.fault_fleet import Fleet
from loadtests.fault_outcome import FaultOutcome
from loadtests.fault_run import FaultRun, run_fault
from loadtests.precise_loop import run_precisely
from loadtests.steady_profile import keep_steady_profile
from wire.errors import ClusterUnreachable

PREPARE_TIMEOUT_S: Final = 120.0
NO_DISK: Final = "only root may mount a small disk to fill"


def play_faults(scenario: AdaptScenario, bundle: Path, out: Path, names: Sequence[str], *, seed: int) -> FaultOutcome:
    """Start a cluster and its agents, and have the faults of these names strike.

    Raises:
        ClusterUnreachable: the cluster or an agent did not start, or an agent ended by itself.
    """
    load_before = os.getloadavg()[0]
    with ExitStack() as stack:
        _say("profiling this machine")
        keep_steady_profile(scenario.bundle, scenario.cache, on_round=lambda _: None)
        scenario = replace(
            scenario, clip=write_pictures(scenario.clip, scenario.bundle.manifest.input, out / "pictures")
        )
        _say("starting the cluster")
        cluster = stack.enter_context(FaultCluster(bundle, out))
        _fetch_bundle(scenario, cluster, out)
        runs, unanswered, skipped = run_precisely(_strike(scenario, cluster, names, seed))
    return FaultOutcome(
        runs=runs,
        agents=_policies(scenario),
        fps=scenario.fps,
        deadline_s=scenario.deadline_s,
        device=scenario.device or "this machine",
        unanswered=unanswered,
        skipped=skipped,
        loads=Loads(load_before, os.getloadavg()[0], os.cpu_count() or 1),
    )


async def _strike(
    scenario: AdaptScenario, cluster: FaultCluster, names: Sequence[str], seed: int
) -> tuple[tuple[FaultRun, ...], int, dict[str, str]]:
    runs: list[FaultRun] = []
    skipped = {}
    _say("starting the agents")
    async with Fleet(scenario, cluster.address, _policies(scenario)) as fleet:
        faults = catalogue(cluster, fleet, _points(scenario), seed=seed)
        for name in names:
            if name not in faults:
                assert name in NEEDS_DISK, "all others can be brought about anywhere"
                skipped[name] = NO_DISK
                continue
            _say(f"{name}: {faults[name].title}")
            try:
                runs.append(await run_fault(fleet, faults[name]))
            except ClusterUnreachable as error:  # what is left of the cluster may yet bear the next one
                skipped[name] = error.message
                _say(f"{name}: {error.message}")
                continue
            _say(f"  {runs[-1].as_plain()}")
        await fleet.finish()
    return tuple(runs), fleet.unanswered, skipped


def _fetch_bundle(scenario: AdaptScenario, cluster: FaultCluster, out: Path) -> None:
    command = scenario.command("--frames", "1", name="prepare", address=cluster.address, policy="device-only")
    with Child(command, log=out / "prepare.log") as agent:
        agent.wait_for("summary", timeout_s=PREPARE_TIMEOUT_S)


def _points(scenario: AdaptScenario) -> list[str]:
    """Name the points between input and output, where a device and the cluster share the work."""
    return [point for point in scenario.bundle.points if point not in ("input", "output")]


def _policies(scenario: AdaptScenario) -> dict[str, str]:
    """Have an agent at every point, so that none can be lost unseen, and two that choose for themselves."""
    fixed = {f"at-{point}": f"fixed:{point}" for point in ("input", *_points(scenario))}
    return {**fixed, "auto-1": "auto", "auto-2": "auto"}


def _say(what: str) -> None:
    notes().print(what, markup=False, highlight=False)
