"""``isthmus bench``: measurements against rivals, as ratios of one run."""

import tempfile
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cluster.cli.bench_adapt import adapt
from cluster.cli.bench_codecs import codecs
from cluster.cli.bench_crowd import crowd
from cluster.cli.bench_faults import faults
from cluster.cli.bench_fuzz import fuzz
from cluster.cli.bench_load import load
from cluster.cli.screen import notes, output, write_json

JSON_OPTION = click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")


@click.group()
def command() -> None:
    """Measure Isthmus against its rivals, all in one run on this machine."""


command.add_command(codecs)
command.add_command(adapt)
command.add_command(crowd)
command.add_command(faults)
command.add_command(fuzz)
command.add_command(load)


@command.command()
@click.option("--seconds", default=5.0, show_default=True, help="How long each number of clients is measured.")
@click.option("--port", default=8790, show_default=True)
@JSON_OPTION
def path(*, seconds: float, port: int, json_file: Path | None) -> None:
    """Measure what a frame's path costs without a model."""
    from cluster.bundles.synthetic import SYNTHETIC_POINT, write_synthetic
    from loadtests.path_benchmark import PathBenchmark
    from serve_apps.readiness import option_bitstream

    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        bundle = write_synthetic(Path(folder))
        (option,) = bundle.options_at(SYNTHETIC_POINT)
        benchmark = PathBenchmark(
            bundle=bundle.directory,
            digest=bundle.digest,
            point=option.point,
            option_id=option.id,
            bitstream=option_bitstream(bundle, option),
            duration_s=seconds,
            port=port,
        )
        with notes().status("starting") as status:
            figures = benchmark.run(lambda name: status.update(f"measuring {name}"))
    if json_file:
        write_json(figures, json_file)
    _print_paths(figures)


@command.command()
@click.option("--bundle", type=click.Path(path_type=Path), default=None, help="[default: built from what ships]")
@click.option("--frames", default=200, show_default=True, help="Frames of each run.")
@JSON_OPTION
def agent(*, bundle: Path | None, frames: int, json_file: Path | None) -> None:
    """Measure what the agent itself costs: import, start, memory, a decision, and time a frame beside the head."""
    from cluster.bundles.shipped import shipped_bundle
    from cluster.free_ports import free_ports
    from loadtests.agent_benchmark import AgentBenchmark
    from loadtests.clips import clip_path
    from wire.bundle import Bundle

    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as cache, notes().status("starting") as status:
        folder = bundle or shipped_bundle(status.update)
        points = dict.fromkeys(option.point for option in Bundle.open(folder, "device").manifest.options)
        benchmark = AgentBenchmark(
            bundle=folder,
            policies=("auto", *(f"fixed:{point}" for point in points)),
            clip=clip_path("bikes"),
            cache=Path(cache),
            frames=frames,
            port=free_ports(1)[0],
        )
        figures = benchmark.run(lambda stage: status.update(f"measuring {stage}"))
    if json_file:
        write_json(figures, json_file)
    _print_agent(figures)


def _print_agent(figures: dict[str, Any]) -> None:
    table = Table(title="the agent, medians", title_justify="left")
    for heading in ("policy", "start s", "memory MB", "overhead ms a frame", "latency p50 ms"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for policy, row in figures["policies"].items():
        table.add_row(
            policy, f"{row['start_s']:.2f}", f"{row['rss_mb']:.0f}", f"{row['overhead_ms']:.2f}",
            f"{row['latency_p50_ms']:.1f}",
        )  # fmt: skip
    output().print(table)
    output().print(
        f"import: {figures['import_s']:.2f} s, of which Python itself {figures['python_s']:.2f} s; "
        f"ONNX Runtime alone {figures['import_onnxruntime_s']:.2f} s"
    )
    decision = figures["decision"]
    output().print(
        f"a decision over {decision['options']} options: {decision['plan_us']:.0f} µs by the planner, "
        f"{decision['decide_us']:.0f} µs with all that is gathered for it; a look at the frame before it "
        f"{decision['activity_us']:.0f} µs"
    )


def _print_paths(figures: dict[str, Any]) -> None:
    from loadtests.path_benchmark import PATHS

    table = Table(title=f"frames of {figures['message_bytes']} bytes", title_justify="left")
    for heading in ("path", "clients", "frames/s", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "path" else "right")
    for name, rows in figures["paths"].items():
        for clients, row in rows.items():
            latencies = (f"{row[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms"))
            table.add_row(f"{name}: {PATHS[name]}", clients, f"{row['rps']:,.0f}", *latencies)
    output().print(table)
    for clients, ratios in figures["ratios"].items():
        said = ", ".join(f"{name.replace('_over_', ' / ')} = {value:.2f}" for name, value in ratios.items())
        output().print(f"{clients} clients: {said}")
