"""``isthmus bench adapt``: our policy and the papers' over recorded links, really and in virtual time."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.benchmark_options import find_bundle, with_inputs, with_results
from cluster.cli.screen import output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.cli.adapt_stages import Stages
    from loadtests.adapt_outcome import AdaptOutcome
    from loadtests.adapt_scenario import AdaptScenario, RecordedLink
    from loadtests.frame_tables import FrameTables
    from loadtests.relay_connection import Address

DATA: Final = Path("../shared/data/traces")
OUT: Final = Path("runs/adapt")
DOCUMENT: Final = Path("docs/adapting.md")
OVERVIEW: Final = "adapt-overview.png"
PAGES: Final = "adapt-traces"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True,
              help="Folder of recorded links: CSV files of time_s,mbps.")  # fmt: skip
@click.option("--traces", default="*.csv", show_default=True, metavar="GLOB", help="Which files of it.")
@click.option("--window-s", type=click.FloatRange(min=2), default=20.0, show_default=True,
              help="So much of each trace is played for real, from its beginning.")  # fmt: skip
@click.option("--only-virtual", is_flag=True, help="Play nothing for real; the tables are measured all the same.")
@click.option("--tables", "tables_file", type=click.Path(path_type=Path), default=None,
              help="Take the measured tables of a run before from this file.  [default: measure them]")  # fmt: skip
@with_inputs
@click.option("--device-profile", "device", default="raspberry-pi-3b+", show_default=True,
              help="The device to emulate; none is this machine as it is.")  # fmt: skip
@click.option("--fps", type=click.FloatRange(min=0.5, max=60), default=5.0, show_default=True)
@click.option("--deadline-ms", type=click.FloatRange(min=1), default=200.0, show_default=True)
@click.option("--delay-ms", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Of the link, one way.")
@click.option("--max-drop", type=click.FloatRange(0, 100), default=5.0, show_default=True,
              help="Points of accuracy that any policy may lose, beside no split.")  # fmt: skip
@click.option("--at-once", type=click.IntRange(1, 7), default=7, show_default=True,
              help="So many policies are played at a time; fewer where the machine is slow.")  # fmt: skip
@with_results(OUT, DOCUMENT, holds="pictures, tables, frames and logs")
def adapt(
    *,
    data: Path,
    traces: str,
    window_s: float,
    only_virtual: bool,
    tables_file: Path | None,
    bundle: Path | None,
    clip: Path | None,
    device: str,
    fps: float,
    deadline_ms: float,
    delay_ms: float,
    max_drop: float,
    at_once: int,
    out: Path,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """Compare our way to choose with the papers', on the same frames over the same recorded links."""
    from cluster.cli.adapt_stages import Stages
    from cluster.cli.adapt_tables import screened
    from cluster.evaluation.plot import require_matplotlib
    from loadtests.adapt_scenario import AdaptScenario, recorded_links
    from loadtests.clips import clip_path
    from loadtests.frame_tables import FrameTables
    from wire.bundle import Bundle

    if write_docs and only_virtual:
        raise SettingError(f"{document} tells of a real run", mend="leave out --only-virtual")
    require_matplotlib()
    links = recorded_links(data, traces)
    tables = FrameTables.load(tables_file) if tables_file else None
    out.mkdir(parents=True, exist_ok=True)
    folder = find_bundle(bundle)
    scenario = AdaptScenario(
        bundle=Bundle.open(folder, "device"),
        clip=clip or clip_path("bikes"),
        cache=out / "cache",
        device=None if device == "none" else device,
        fps=fps,
        deadline_s=deadline_ms / 1e3,
        delay_s=delay_ms / 1e3,
        most_drop=max_drop / 100,
        at_once=at_once,
    )
    with Stages(
        traces=len(links), window_s=None if only_virtual else window_s, sweep=tables is None, turns=scenario.turns
    ) as stages:
        outcome = _compare(scenario, links, window_s, tables, folder, out, stages=stages, really=not only_virtual)
    if json_file:
        write_json(outcome.as_plain(), json_file)
    write_json(outcome.frames_as_plain(), out / "frames.json")
    for table in screened(outcome):
        output().print(table.rich())
    _draw(outcome, links, out)
    output().print(f"pictures, tables and frames: {out}", soft_wrap=True)
    if write_docs:
        _write(document, outcome, links)


def _compare(
    scenario: "AdaptScenario",
    links: "list[RecordedLink]",
    window_s: float,
    tables: "FrameTables | None",
    folder: Path,
    out: Path,
    *,
    stages: "Stages",
    really: bool,
) -> "AdaptOutcome":
    from loadtests.adapt_bottlenet import radio_gains
    from loadtests.adapt_drop import FALLS_MBPS, fall
    from loadtests.adapt_outcome import AdaptOutcome, Loads, Played
    from loadtests.adapt_report import PAPERS
    from loadtests.adapt_run import RealRun, run_traces
    from loadtests.adapt_virtual import virtual_traces
    from loadtests.table_sweep import measure_tables

    load_before = os.getloadavg()[0]
    real = None
    with ExitStack() as stack:
        cluster = _started(stack, scenario, folder, out, stages) if really or tables is None else None
        if tables is None:
            assert cluster is not None
            stages.begin("sweep", "measuring")
            tables = measure_tables(
                scenario, cluster, folder=out, on_progress=stages.on, at_once=scenario.asking_at_once
            )
            tables.save(out / "tables.json")
        stages.begin("virtual", "in virtual time")
        runs, fixed = virtual_traces(tables, scenario, links, window_s, on_trace=stages.on)
        beside, kept = virtual_traces(
            tables, replace(scenario, rivals_fall_back=True), links, window_s, on_trace=stages.on
        )
        if really:
            assert cluster is not None
            stages.begin("real", "really")
            run = RealRun(scenario=scenario, cluster=cluster, window_s=window_s, folder=out)
            played = run_traces(run, links, fixed, on_trace=stages.on)
            real = Played(runs=played, fixed=fixed, window_s=window_s)
    load_after = os.getloadavg()[0]
    stages.begin("full", "whole traces in virtual time")
    full_runs, full_fixed = virtual_traces(tables, scenario, links, None, on_trace=stages.on)
    stages.begin("falls", "falls of the link")
    policies = ("auto", *PAPERS)
    return AdaptOutcome(
        scenario=scenario,
        tables=tables,
        loads=Loads(load_before, load_after, os.cpu_count() or 1),
        real=real,
        virtual=Played(runs=runs, fixed=fixed, window_s=window_s),
        fallen_back=Played(runs=beside, fixed=kept, window_s=window_s),
        full=Played(runs=full_runs, fixed=full_fixed, window_s=None),
        falls=tuple(
            fall(tables, scenario, rates, policy=policy, still=still)
            for policy in policies
            for still in (False, True)
            for rates in FALLS_MBPS
        ),
        gains=tuple(radio_gains(tables, scenario)),
    )


def _started(stack: ExitStack, scenario: "AdaptScenario", folder: Path, out: Path, stages: "Stages") -> "Address":
    from cluster.cli.benchmark_cluster import start_cluster

    stages.begin("profile", "profiling this machine")
    return start_cluster(
        stack, scenario, folder, out,
        on_round=stages.at, on_start=lambda: stages.begin("cluster", "starting the cluster"),
    )  # fmt: skip


def _draw(outcome: "AdaptOutcome", links: "list[RecordedLink]", folder: Path) -> None:
    from loadtests.adapt_picture import Scene, draw_overview, draw_traces
    from loadtests.adapt_report import report
    from loadtests.adapt_scenario import window_script

    main, scenario = outcome.main, outcome.scenario
    points = tuple(dict.fromkeys(str(option.point) for option in outcome.tables.options))
    scene = Scene(points=points, deadline_s=scenario.deadline_s)
    scripts = {link.name: window_script(link, main.window_s, delay_s=scenario.delay_s) for link in links}
    draw_traces(main.runs, scripts, scene, folder, PAGES)
    draw_overview(report(main.runs), scene, folder / OVERVIEW)


def _write(document: Path, outcome: "AdaptOutcome", links: "list[RecordedLink]") -> None:
    from cluster.cli.adapt_tables import blocks
    from cluster.comparison.document import fill

    _draw(outcome, links, document.parent / "img")
    fill(document, blocks(outcome))
    output().print(f"wrote {document}", soft_wrap=True)
