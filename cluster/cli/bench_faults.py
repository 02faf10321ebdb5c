"""``isthmus bench faults``: the parts of a cluster are lost one by one while agents use it."""

from pathlib import Path
from typing import Final

import click

from cluster.cli.benchmark_options import find_bundle, with_inputs, with_results
from cluster.cli.screen import output, write_json

OUT: Final = Path("runs/faults")
DOCUMENT: Final = Path("docs/reliability.md")
PICTURE: Final = "faults.png"


@click.command()
@click.option(
    "--only", multiple=True, metavar="FAULT", help="Only this one; may be given more than once.  [default: all]"
)
@click.option("--quick", is_flag=True, help="Only the six that matter most.")
@click.option("--fps", type=click.FloatRange(min=0.5, max=30), default=5.0, show_default=True, help="Of each agent.")
@click.option("--deadline-ms", type=click.FloatRange(min=1), default=400.0, show_default=True)
@click.option("--device-profile", "device", default="raspberry-pi-4b", show_default=True, help="The device to emulate.")
@with_inputs
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the faults at random.")
@with_results(OUT, DOCUMENT, holds="the picture and logs")
def faults(
    *,
    only: tuple[str, ...],
    quick: bool,
    fps: float,
    deadline_ms: float,
    device: str,
    bundle: Path | None,
    clip: Path | None,
    seed: int,
    out: Path,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """See what agents notice when a part of the cluster is lost, and how soon it is whole again."""
    from cluster.cli.fault_catalogue import chosen
    from cluster.cli.fault_play import play_faults
    from cluster.cli.fault_tables import blocks, fault_table
    from cluster.comparison.document import fill
    from cluster.evaluation.plot import require_matplotlib
    from loadtests.adapt_scenario import AdaptScenario
    from loadtests.clips import clip_path
    from loadtests.fault_picture import draw_faults
    from wire.bundle import Bundle

    names = chosen(only, quick=quick)
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    folder = find_bundle(bundle)
    scenario = AdaptScenario(
        bundle=Bundle.open(folder, "device"),
        clip=clip or clip_path("bikes"),
        cache=(out / "cache").resolve(),
        device=None if device == "none" else device,
        fps=fps,
        deadline_s=deadline_ms / 1e3,
        most_drop=1.0,
    )
    outcome = play_faults(scenario, folder, out, names, seed=seed)
    if json_file:
        write_json(outcome.as_plain(), json_file)
    output().print(fault_table(outcome).rich())
    output().print(f"picture: {draw_faults(outcome.runs, out / PICTURE)}", soft_wrap=True)
    if write_docs:
        draw_faults(outcome.runs, document.parent / "img" / PICTURE)
        fill(document, blocks(outcome))
        output().print(f"wrote {document}", soft_wrap=True)
