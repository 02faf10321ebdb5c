"""``isthmus bench load``: how many agents a cluster holds, and what becomes of too many, beside its rivals."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.benchmark_options import find_bundle, with_inputs, with_results
from cluster.cli.screen import notes, output, write_json
from wire.errors import SettingError

if TYPE_CHECKING:
    from loadtests.load_outcome import LoadOutcome

OUT: Final = Path("runs/load")
DOCUMENT: Final = Path("docs/load.md")
EXPERIMENTS: Final = ("capacity", "overload", "spike", "background", "saving")


@click.command()
@click.option("--only", default=",".join(EXPERIMENTS), show_default=True, metavar="NAMES", help="Which experiments.")
@click.option("--quick", is_flag=True, help="A few seconds of each, to see that all works; its figures say nothing.")
@click.option("--seconds", type=click.FloatRange(min=2), default=15.0, show_default=True, help="Of each load.")
@click.option(
    "--warm-s", type=click.FloatRange(min=1), default=8.0, show_default=True, help="Before them, not counted."
)
@click.option("--most-agents", type=click.IntRange(min=1), default=128, show_default=True,
              help="No search of a capacity goes beyond it.")  # fmt: skip
@click.option("--fps", type=click.FloatRange(min=0.1, max=60), default=10.0, show_default=True, help="Of each agent.")
@click.option("--deadline-ms", type=click.FloatRange(min=1), default=300.0, show_default=True)
@click.option("--max-drop", type=click.FloatRange(0, 100), default=5.0, show_default=True,
              help="Points of accuracy that a choice may lose.")  # fmt: skip
@click.option("--device-profile", "devices", multiple=True, default=("raspberry-pi-4b",), show_default=True,
              help="A device to emulate; with several, agents take them in turns.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path, exists=True), default=None,
              help="Of our cluster, as `isthmus up --config` reads it.")  # fmt: skip
@with_inputs
@with_results(OUT, DOCUMENT, holds="pictures and logs")
def load(
    *,
    only: str,
    quick: bool,
    seconds: float,
    warm_s: float,
    most_agents: int,
    fps: float,
    deadline_ms: float,
    max_drop: float,
    devices: tuple[str, ...],
    config: Path | None,
    bundle: Path | None,
    clip: Path | None,
    out: Path,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """Find the capacity of a cluster and of its rivals, overload them, and let agents and traffic come in a rush."""
    from cluster.cli.bench_load_play import play_loads
    from cluster.cli.bench_load_tables import screened
    from cluster.evaluation.plot import require_matplotlib
    from loadtests.clips import clip_path
    from loadtests.load_experiments import QUICK, LoadPlan
    from loadtests.load_picture import draw_loads
    from loadtests.load_scene import LoadScene

    chosen = _chosen(only)
    if write_docs and chosen != set(EXPERIMENTS):
        raise SettingError(f"{document} tells of all experiments", mend="leave out --only")
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    scene = LoadScene(
        bundle=find_bundle(bundle),
        clip=clip or clip_path("bikes"),
        cache=out / "cache",
        out=out,
        devices=devices,
        fps=fps,
        deadline_s=deadline_ms / 1e3,
        most_drop=max_drop / 100,
    )
    plan = QUICK if quick else LoadPlan(seconds=seconds, warm_s=warm_s, most=most_agents)
    with notes().status("starting") as status:

        def say(what: str) -> None:
            status.update(what)
            if not notes().is_terminal:
                notes().print(what, markup=False)

        outcome = play_loads(scene, plan, chosen=chosen, config=config, say=say)
    if json_file:
        write_json(outcome.as_plain(), json_file)
    for table in screened(outcome):
        output().print(table.rich())
    draw_loads(outcome, out)
    output().print(f"pictures and logs: {out}", soft_wrap=True)
    if write_docs:
        _write(document, outcome)


def _chosen(only: str) -> frozenset[str]:
    chosen = frozenset(name.strip() for name in only.split(","))
    if unknown := sorted(chosen - set(EXPERIMENTS)):
        raise SettingError(f"there is no experiment {unknown[0]!r}", mend=f"choose among {', '.join(EXPERIMENTS)}")
    return chosen


def _write(document: Path, outcome: "LoadOutcome") -> None:
    from cluster.cli.bench_load_tables import blocks
    from cluster.comparison.document import fill
    from loadtests.load_picture import draw_loads

    draw_loads(outcome, document.parent / "img")
    fill(document, blocks(outcome))
    output().print(f"wrote {document}", soft_wrap=True)
