"""``isthmus bench codecs``: our codec, the papers' codecs and baselines, and pictures, all measured alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from cluster.comparison.comparison import Comparison

DATA: Final = Path("../shared/data/imagenet-1k-cc-by")
TRAINING: Final = Path("../shared/data/caltech-101")
DOCUMENT: Final = Path("docs/codecs.md")
PAPERS_PLOT: Final = "codecs-papers.png"
BASELINES_PLOT: Final = "codecs-baselines.png"
SCREENED: Final = ("options", "codecs", "pictures", "bottlenet", "awareness", "deepcod", "jalad", "jointdnn", "wanted")


@click.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True,
              help="A name, NAME:CHECKPOINT, or package.module:function.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), default=DATA, show_default=True,
              help="Labelled pictures to measure on.")  # fmt: skip
@click.option("--training", type=click.Path(path_type=Path), default=TRAINING, show_default=True,
              help="Pictures to calibrate on the codecs that learn nothing.")  # fmt: skip
@click.option("--pictures", type=click.IntRange(1), help="Measure on so many, evenly spread.  [default: all]")
@click.option("--weights", type=click.Path(path_type=Path), default=None,
              help="Folder of our codecs.  [default: those that ship]")  # fmt: skip
@click.option("--rivals", type=click.Path(path_type=Path), default=None,
              help="Folder of trained codecs to compare with.  [default: those that come with Isthmus]")  # fmt: skip
@click.option("--folder", type=click.Path(path_type=Path), default=None,
              help="Keeps what is calibrated and built.  [default: runs/BACKBONE/comparison]")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--write-docs", is_flag=True, help=f"Write the measured blocks of {DOCUMENT}, and its plots.")
@click.option("--document", type=click.Path(path_type=Path), default=DOCUMENT, show_default=True,
              help="With --write-docs: the document; plots go to img beside it.")  # fmt: skip
def codecs(
    *,
    backbone: str,
    data: Path,
    training: Path,
    pictures: int | None,
    weights: Path | None,
    rivals: Path | None,
    folder: Path | None,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """Measure accuracy, bytes and work of every codec, ours and the others', through bundles and real bitstreams."""
    from rich.progress import Progress

    from cluster.backbones.registry import load_backbone
    from cluster.codecs.weights import SHIPPED
    from cluster.comparison.comparison import Comparer
    from cluster.comparison.findings import shortfalls, summary
    from cluster.comparison.record import plain
    from cluster.comparison.report import tables
    from cluster.evaluation.plot import require_matplotlib

    if write_docs:
        require_matplotlib()
    loaded = load_backbone(backbone)
    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        comparer = Comparer(
            backbone=loaded,
            data=data,
            training=training,
            weights=weights or SHIPPED,
            rivals=rivals or SHIPPED.with_name("rivals"),
            folder=folder or Path("runs") / loaded.name / "comparison",
            listener=show,
        )
        comparison = comparer.run(pictures=pictures)
    if json_file:
        write_json(plain(comparison), json_file)
    found = tables(comparison)
    for name in SCREENED:
        output().print(found[name].rich())
    for shortfall in shortfalls(comparison):
        output().print(f"- {shortfall}", markup=False, soft_wrap=True)
    output().print(summary(comparison), markup=False, soft_wrap=True)
    if write_docs:
        _write(document, comparison)


def _write(document: Path, comparison: "Comparison") -> None:
    from cluster.comparison.document import fill
    from cluster.comparison.findings import blocks
    from cluster.comparison.plot import plot_baselines, plot_papers

    plot_papers(comparison.rows, document.parent / "img" / PAPERS_PLOT)
    plot_baselines(comparison.rows, document.parent / "img" / BASELINES_PLOT)
    fill(document, blocks(comparison))
    output().print(f"wrote {document}", soft_wrap=True)
