"""``isthmus demo``: the main job, seen from a chair."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from cluster.cli.benchmark_options import find_bundle
from cluster.cli.screen import notes, output, write_json
from wire.errors import IsthmusError

if TYPE_CHECKING:
    from loadtests.demo_report import DemoReport

START_TIMEOUT_S = 180.0


class DemoFailed(IsthmusError):
    """The demo ran, and something that it promises did not hold."""

    code = "demo"
    exit_code = 30


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--bundle", type=click.Path(path_type=Path), default=None, help="[default: built from what ships]")
@click.option("--clip", type=click.Path(path_type=Path), default=None, help="[default: a clip that a wheel brings]")
@click.option("--script", default=None, help="The link, as SECONDS:MBPS steps.  [default: 20, 0.7, down, 5.85, 20]")
@click.option("--seconds", default=None, type=float, help="How long the script plays.")
@click.option("--agents", default=2, show_default=True)
@click.option("--device-profile", default="raspberry-pi-3b+", show_default=True, help="The device to emulate.")
@click.option("--slowdown", default=None, type=click.FloatRange(min=1),
              help="Emulate devices this much slower than one core here, instead.")  # fmt: skip
def command(
    *, out: Path, bundle: Path | None, clip: Path | None, script: str | None, seconds: float | None, agents: int,
    device_profile: str, slowdown: float | None,
) -> None:  # fmt: skip
    """Stream a clip from two agents to a cluster over a link that gets worse, goes down, and comes back."""
    from cluster.cli.demo_screen import DemoScreen
    from cluster.free_ports import free_ports
    from loadtests.child import Child
    from loadtests.clips import clip_path
    from loadtests.demo_picture import draw
    from loadtests.demo_report import report
    from loadtests.demo_run import DEFAULT_SCRIPT, DEFAULT_SECONDS, DELAY_S, DemoSettings, run_demo
    from loadtests.link_script import LinkScript
    from wire.bundle import Bundle

    out.mkdir(parents=True, exist_ok=True)
    built = find_bundle(bundle)
    (port,) = free_ports(1)
    settings = DemoSettings(
        cluster=("127.0.0.1", port),
        bundle=Bundle.open(built, "device"),
        clip=clip or clip_path("bikes"),
        folder=out,
        script=LinkScript.parse(script or DEFAULT_SCRIPT, delay_s=DELAY_S),
        seconds=seconds or DEFAULT_SECONDS,
        agents=agents,
        device=device_profile,
        slowdown=slowdown,
    )
    up = [sys.executable, "-m", "cluster.cli.main", "up", str(built), "--port", str(port), "--json"]
    notes().print("starting the cluster: Ray, Serve, HAProxy, Triton, one application a point", end=" ")
    began = time.monotonic()
    with Child(up, log=out / "cluster.log") as cluster:
        ready = cluster.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        notes().print(f"({time.monotonic() - began:.0f} s); points {', '.join(ready['points'])}")
        with DemoScreen() as screen:
            record = run_demo(settings, screen)
    figures = report(record)
    write_json({"script": script or DEFAULT_SCRIPT, **figures.as_plain()}, out / "demo.json")
    frames = "".join(f"{json.dumps(frame)}\n" for frame in record.frames())
    (out / "frames.jsonl").write_text(frames, encoding="utf-8")
    picture = out / "demo.png"
    draw(record, picture)
    _print(figures, record.emulated)
    output().print(
        f"picture: {picture}    figures: {out / 'demo.json'}    every frame: {out / 'frames.jsonl'}    "
        f"cluster's log: {out / 'cluster.log'}"
    )
    if figures.failures:
        raise DemoFailed("; ".join(figures.failures), mend=f"look at {picture} and {out / 'cluster.log'}")


def _print(figures: "DemoReport", emulated: str) -> None:
    steps = Table(title="by step of the link", title_justify="left")
    for heading in ("from s", "Mbit/s", "frames", "by cluster", "p50 ms", "p95 ms", "bytes", "answered at"):
        steps.add_column(heading, justify="left" if heading == "answered at" else "right")
    for step in figures.by_step:
        options = ", ".join(f"{name} {count}" for name, count in step.options.items())
        steps.add_row(
            f"{step.from_s:g}", "down" if step.rate_mbps is None else f"{step.rate_mbps:g}", str(step.frames),
            str(step.answered_by_cluster), f"{step.p50_ms:.0f}", f"{step.p95_ms:.0f}", f"{step.bytes:,.0f}", options,
        )  # fmt: skip
    output().print(steps)
    table = Table(title="by option: latency predicted and measured, without waiting", title_justify="left")
    for heading in ("option", "chosen", "compared", "bytes", "predicted ms", "measured ms", "mean error ms"):
        table.add_column(heading, justify="left" if heading == "option" else "right")
    for row in figures.by_option:
        table.add_row(
            row.option, str(row.chosen), str(row.compared), f"{row.bytes:,.0f}", f"{row.predicted_ms:.1f}",
            f"{row.measured_ms:.1f}", f"{row.error_ms:.1f}",
        )  # fmt: skip
    output().print(table)
    back = figures.remote_after_return_s
    output().print(
        f"frames: {figures.frames}   unanswered: {figures.unanswered}   options chosen: {figures.options_chosen}   "
        f"cluster answers again {'never' if back is None else f'{back:.1f} s'} after the outage   "
        f"mean error of prediction: {figures.mean_error_ms:.1f} ms"
    )
    output().print(f"the devices are emulated: {emulated}")
