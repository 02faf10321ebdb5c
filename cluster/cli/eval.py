"""``isthmus eval``: what every option of a bundle does on labelled pictures."""

from dataclasses import asdict
from pathlib import Path

import click

from cluster.cli.screen import notes, output, write_json


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path),
              help="Labelled pictures: labels.csv (file, label) beside a folder images.")  # fmt: skip
@click.option("--pictures", type=click.IntRange(1), help="Look at so many of them, evenly spread.  [default: all]")
@click.option("--only", metavar="TEXT", multiple=True,
              help="Look at these options alone: POINT, CODEC, POINT/CODEC or POINT/CODEC/RATE, * for any; "
              "may be repeated.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path),
              help="Draw accuracy against bytes here, as a PNG.")  # fmt: skip
def command(
    *,
    bundle: Path,
    data: Path,
    pictures: int | None,
    only: tuple[str, ...],
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Measure accuracy, bytes and times of the options in BUNDLE, through its own graphs and real bitstreams."""
    from rich.progress import Progress

    from cluster.evaluation.evaluation import Progress as Done
    from cluster.evaluation.evaluation import evaluate_bundle
    from cluster.evaluation.plot import plot_accuracy, require_matplotlib
    from cluster.evaluation.table import evaluation_note, evaluation_table

    if plot_file:
        require_matplotlib()
    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task("opening the bundle", total=None)

        def show(done: Done) -> None:
            bar.update(task, description=done.option, completed=done.done, total=done.total)

        evaluation = evaluate_bundle(bundle, data, pictures=pictures, only=only, listener=show)
    if json_file:
        write_json(asdict(evaluation), json_file)
    if plot_file:
        plot_accuracy(evaluation, plot_file)
    output().print(evaluation_table(evaluation))
    output().print(evaluation_note(evaluation))
