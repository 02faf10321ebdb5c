"""``isthmus bench fuzz``: bad input by the million, for every decoder, for a replica, and for a running cluster."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cluster.cli.screen import notes, output, write_json

if TYPE_CHECKING:
    from loadtests.fuzz_cluster import ClusterRecord
    from loadtests.fuzz_record import Finding
    from loadtests.fuzz_run import FuzzRun, TargetReport

CLUSTER: Final = "cluster"
CLUSTER_SHARE: Final = 0.03
CORPUS: Final = Path("tests/fuzz/corpus")
OUT: Final = Path("runs/fuzz")
DOCUMENT: Final = Path("docs/fuzzing.md")


@click.command()
@click.option("--inputs", type=click.IntRange(1), default=1_500_000, show_default=True, help="Of all targets together.")
@click.option("--seconds", type=click.FloatRange(min=1), default=600.0, show_default=True,
              help="At most, for each of the two processes of a target, and for the cluster.")  # fmt: skip
@click.option("--target", "names", multiple=True, metavar="TARGET",
              help=f"Fuzz this one; may be given several times. {CLUSTER} is one too.  [default: all]")  # fmt: skip
@click.option("--seed", type=click.IntRange(1, 2**31 - 1), default=1, show_default=True)
@click.option("--corpus", type=click.Path(path_type=Path), default=CORPUS, show_default=True,
              help="Inputs to begin with, a folder for each target; targets have some of their own.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True,
              help="Folder for findings, logs, and the inputs that reached something new.")  # fmt: skip
@click.option("--grow-corpus", is_flag=True, help="Add to the corpus the smallest inputs that reached something new.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--write-docs", is_flag=True, help=f"Write the measured blocks of {DOCUMENT}.")
@click.option("--document", type=click.Path(path_type=Path), default=DOCUMENT, show_default=True,
              help="With --write-docs: the document.")  # fmt: skip
def fuzz(
    *,
    inputs: int,
    seconds: float,
    names: tuple[str, ...],
    seed: int,
    corpus: Path,
    out: Path,
    grow_corpus: bool,
    json_file: Path | None,
    write_docs: bool,
    document: Path,
) -> None:
    """Try bad input at all that reads from a peer, and fail if any crashes or hangs a process, or ends in a fault."""
    from cluster.cli.fuzz_tables import blocks, screened, summary
    from loadtests.fuzz_report import FuzzReport
    from loadtests.fuzz_run import FuzzRun
    from loadtests.fuzz_target import plans

    decoders = tuple(name for name in names if name != CLUSTER)
    chosen = plans(decoders) if decoders or not names else ()
    with_cluster = not names or CLUSTER in names
    of_cluster = round(inputs * CLUSTER_SHARE) if chosen else inputs
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    run = FuzzRun(
        plans=chosen,
        inputs=inputs - (of_cluster if with_cluster else 0),
        seconds=seconds,
        seed=seed,
        corpus=corpus.resolve(),
        out=out,
    )
    # First, since it can fail to start.
    cluster = _cluster(run, of_cluster) if with_cluster else None
    targets = _targets(run) if chosen else []
    report = FuzzReport(tuple(targets), cluster, seed)
    if json_file:
        write_json(report.as_plain(), json_file)
    for table in screened(report):
        output().print(table.rich())
    output().print(summary(report), soft_wrap=True)
    if grow_corpus:
        _grow(run)
    if write_docs:
        from cluster.comparison.document import fill

        fill(document, blocks(report))
        output().print(f"wrote {document}", soft_wrap=True)
    _show(report.findings)
    if report.findings:
        raise click.exceptions.Exit(1)


def _targets(run: "FuzzRun") -> "list[TargetReport]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes(), transient=True) as bar:
        shares = run.shares()
        tasks = {name: bar.add_task(name, total=share) for name, share in shares.items()}
        return run.run(lambda name, count: bar.update(tasks[name], completed=count))


def _cluster(run: "FuzzRun", inputs: int) -> "ClusterRecord":
    from rich.progress import Progress

    from cluster.cli.fuzz_bundle import write_served_bundle
    from cluster.free_ports import free_ports
    from loadtests.fuzz_cluster import fuzz_cluster

    folder = run.out / CLUSTER
    shutil.rmtree(folder, ignore_errors=True)
    bundle = write_served_bundle(folder / "bundle")
    corpus = [path.read_bytes() for path in sorted((run.corpus / "replica").glob("*"))]
    with Progress(console=notes(), transient=True) as bar:
        task = bar.add_task(CLUSTER, total=inputs)
        return fuzz_cluster(
            bundle, free_ports(1)[0], corpus, inputs=inputs, seconds=run.seconds, seed=run.seed, out=folder,
            on_inputs=lambda count: bar.update(task, completed=count),
        )  # fmt: skip


def _grow(run: "FuzzRun") -> None:
    from loadtests.fuzz_corpus import grow

    for plan in run.plans:
        if added := grow(run.corpus / plan.corpus, run.found(plan)):
            output().print(f"{added} inputs added to the corpus of {plan.corpus}")


def _show(findings: "tuple[Finding, ...]") -> None:
    for finding in findings:
        output().print(f"- {finding.target}: {finding.kind}: {finding.input_file}", markup=False, soft_wrap=True)
        output().print("\n".join(finding.says.strip().splitlines()[-12:]), markup=False, soft_wrap=True)
