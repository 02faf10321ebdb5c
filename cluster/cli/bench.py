"""``isthmus bench``: measurements against rivals, as ratios of one run."""

import tempfile
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cluster.cli.screen import notes, output, write_json

JSON_OPTION = click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")


@click.group()
def command() -> None:
    """Measure Isthmus against its rivals, all in one run on this machine."""


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
