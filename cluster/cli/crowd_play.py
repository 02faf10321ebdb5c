"""The stages of ``isthmus bench crowd``: the cluster, the tables, the virtual crowd and the real one, under one bar.

Owns their order, and how long each is expected to take.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cluster.cli.benchmark_cluster import start_cluster
from cluster.cli.screen import notes
from loadtests.adapt_outcome import Loads
from loadtests.adapt_scenario import AdaptScenario
from loadtests.clip_pictures import write_pictures
from loadtests.crowd_outcome import CALM, RESTLESS, CrowdOutcome, CrowdPlayed
from loadtests.crowd_rows import ServiceCosts
from loadtests.crowd_run import WARM_S, RealCrowd, RealCrowdRun, run_crowd
from loadtests.crowd_simulation import Crowd, simulate_crowd
from loadtests.frame_tables import FrameTables
from loadtests.link_script import LinkState
from loadtests.relay_connection import Address
from loadtests.table_sweep import measure_tables, option_name
from serve_apps.load_meter import LoadMeter

SWEEP_FPS: Final = 5.0
"""Of the agents that measure the tables."""
_FRAME_S: Final = 2e-4
"""What one frame takes in virtual time, on this machine's clock."""
_CLUSTER_S: Final = 50.0
_SWEEP_S: Final = 200.0
_AGENT_START_S: Final = 1.0


class Playing:
    """One run of the benchmark; a context manager that ends what it started. ``out`` takes logs and tables."""

    def __init__(self, scenario: AdaptScenario, bundle: Path, out: Path) -> None:
        self._scenario, self._bundle, self._out = scenario, bundle, out
        self._stack = ExitStack()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left:"),
            TimeRemainingColumn(), console=notes(), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._bar)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self, tables: FrameTables | None, many: Crowd, few: Crowd | None, *, mbps: float | None) -> CrowdOutcome:
        """Simulate ``many``, and play ``few`` for real if that is wanted; without tables they are measured first.

        Raises:
            ClusterUnreachable: the cluster or an agent did not start, or ended early.
            SettingError: the tables are of another bundle.
        """
        self._expect(tables, many, few)
        load_before = os.getloadavg()[0]
        costs = ServiceCosts.of(tables, self._scenario.bundle.manifest.options) if tables is not None and few else None
        cluster = self._cluster() if tables is None or few else None
        if tables is None:
            assert cluster is not None
            tables = self._measured(cluster)
        virtual = self._simulated(tables, many)
        real = None
        if few is not None:
            assert cluster is not None
            costs = costs or ServiceCosts.of(tables, self._scenario.bundle.manifest.options)
            real = self._really(few, costs, cluster, mbps)
        loads = Loads(load_before, os.getloadavg()[0], os.cpu_count() or 1)
        return CrowdOutcome(device=tables.device, loads=loads, virtual=virtual, real=real)

    def _expect(self, tables: FrameTables | None, many: Crowd, few: Crowd | None) -> None:
        seconds = 2 * many.agents * many.device.fps * many.seconds * _FRAME_S
        seconds += _SWEEP_S * (tables is None) + _CLUSTER_S * (tables is None or few is not None)
        if few is not None:
            seconds += 2 * (few.seconds + WARM_S + few.agents * _AGENT_START_S)
        self._bar.update(self._task, total=seconds)

    def _say(self, what: str, *, done_s: float = 0.0) -> None:
        """Say what begins, and that what ended before it was expected to take ``done_s``."""
        self._bar.update(self._task, description=what, advance=done_s)
        if not notes().is_terminal:
            notes().print(what, markup=False)

    def _cluster(self) -> Address:
        """Profile this machine while it is quiet, start the cluster, and fill the agents' cache; gives its address."""
        self._say("profiling this machine")
        address = start_cluster(
            self._stack, self._scenario, self._bundle, self._out,
            on_round=lambda _: None, on_start=lambda: self._say("starting the cluster", done_s=_CLUSTER_S / 2),
        )  # fmt: skip
        self._say("the cluster is ready", done_s=_CLUSTER_S / 2)
        return address

    def _measured(self, cluster: Address) -> FrameTables:
        def on_progress(options: str, done: int, total: int) -> None:
            self._say(f"measuring {options} ({done + 1} of {total})", done_s=_SWEEP_S / total)

        # At the real agents' rate a sweep would take many minutes.
        scenario = replace(self._scenario, fps=max(self._scenario.fps, SWEEP_FPS))
        tables = measure_tables(scenario, cluster, folder=self._out, on_progress=on_progress)
        tables.save(self._out / "tables.json")
        return tables

    def _simulated(self, tables: FrameTables, crowd: Crowd) -> CrowdPlayed:
        samples = {}
        for way, one in _ways(crowd).items():
            self._say(f"{crowd.agents} agents in virtual time, {way}")
            samples[way] = simulate_crowd(tables, one, LoadMeter)
            frames = crowd.agents * crowd.device.fps * crowd.seconds
            self._bar.advance(self._task, frames * _FRAME_S)
        return CrowdPlayed(crowd=crowd, samples=samples)

    def _really(self, crowd: Crowd, costs: ServiceCosts, cluster: Address, mbps: float | None) -> CrowdPlayed:
        scenario = self._scenario
        pictures = write_pictures(scenario.clip, scenario.bundle.manifest.input, self._out / "pictures")
        real = RealCrowd(
            scenario=replace(scenario, clip=pictures),
            cluster=cluster,
            agents=crowd.agents,
            steps=crowd.steps,
            folder=self._out,
            link=LinkState(mbps, scenario.delay_s) if mbps is not None else None,
        )
        runs: dict[str, RealCrowdRun] = {}
        for way in (CALM, RESTLESS):
            others = runs[CALM].others if runs else None
            runs[way] = run_crowd(real, costs, calm=way == CALM, on_step=self._stepping(crowd, way), others=others)
        return CrowdPlayed(
            crowd=crowd,
            samples={way: run.samples for way, run in runs.items()},
            others={
                way: {
                    "option": option_name(run.others), "answered": run.others_answered, "refused": run.others_refused,
                }
                for way, run in runs.items()
            },
        )  # fmt: skip

    def _stepping(self, crowd: Crowd, way: str) -> Callable[[str], None]:
        parts_s = iter([0.0, crowd.agents * _AGENT_START_S + WARM_S, *(step.seconds for step in crowd.steps)])

        def on_step(what: str) -> None:
            self._say(f"{crowd.agents} agents really, {way}: {what}", done_s=next(parts_s, 0.0))

        return on_step


def _ways(crowd: Crowd) -> dict[str, Crowd]:
    rules = crowd.device.rules
    return {
        way: replace(crowd, device=replace(crowd.device, rules=replace(rules, calm=way == CALM)))
        for way in (CALM, RESTLESS)
    }
