"""The tables and sentences of ``isthmus bench fuzz``, for the screen and for docs/fuzzing.md. Owns their words."""

import os
from collections import Counter
from typing import Final

from cluster.comparison.text_table import TextTable
from loadtests.fuzz_cluster import REPLICA, ClusterRecord
from loadtests.fuzz_record import Record
from loadtests.fuzz_report import FuzzReport, probe_s
from loadtests.fuzz_run import TargetReport

NONE: Final = "–"
SHOWN_OUTCOMES: Final = 4


def screened(report: FuzzReport) -> list[TextTable]:
    """Give the tables for the screen, in their order."""
    cluster = [processes_table(report.cluster)] if report.cluster else []
    return [targets_table(report), *cluster, wanted_table(report)]


def blocks(report: FuzzReport) -> dict[str, str]:
    """Give what a document can have of a run, as Markdown."""
    return {
        "summary": summary(report),
        "wanted": wanted_table(report).markdown(),
        "targets": targets_table(report).markdown(),
        "cluster": processes_table(report.cluster).markdown() if report.cluster else "No cluster was fuzzed.",
        "probes": probes(report.cluster) if report.cluster else "",
    }


def summary(report: FuzzReport) -> str:
    """Say how much was tried, and what was found."""
    seconds = sum(target.seconds for target in report.targets)
    cluster = f", and {report.cluster.record.seconds:.0f} s of a running cluster" if report.cluster else ""
    guided = sum(target.guided.inputs for target in report.targets)
    return (
        f"{report.inputs:,} inputs in {seconds:.0f} s of processes that fuzz, as many at once as there are cores "
        f"({os.cpu_count()}){cluster}; {guided / max(1, report.inputs):.0%} of them were guided by coverage. "
        f"{len(report.findings) or 'No'} findings. The seed was {report.seed}."
    )


def targets_table(report: FuzzReport) -> TextTable:
    """Give a line for every target."""
    rows = [_target_row(target) for target in report.targets]
    if report.cluster is not None:
        rows.append(_cluster_row(report.cluster))
    headings = (
        "target", "what", "inputs", "a second", "accepted", "new paths", "slowest ms", "memory MB", "growth",
        "findings", "what most came to",
    )  # fmt: skip
    return TextTable("what was fuzzed", headings, tuple(rows), texts=2)


def processes_table(cluster: ClusterRecord) -> TextTable:
    """Give a line for every process of the cluster."""
    rows = tuple(
        (name.removeprefix(REPLICA).rsplit(" ", 1)[0], *_memory(record, record.growth))
        for name, record in cluster.processes.items()
    )
    return TextTable("the cluster's processes", ("process", "memory MB", "growth"), rows)


def probes(cluster: ClusterRecord) -> str:
    """Say how a good device fared meanwhile."""
    return (
        f"Meanwhile a good device sent {len(cluster.probes_s)} streams with a frame of every option: the median took "
        f"{probe_s(cluster, 0.5) * 1e3:.0f} ms, one in twenty more than {probe_s(cluster, 0.95) * 1e3:.0f} ms, and the "
        f"slowest {probe_s(cluster, 1.0) * 1e3:.0f} ms, from opening the stream to the last answer."
    )


def wanted_table(report: FuzzReport) -> TextTable:
    """Give a line for everything that is wanted."""
    rows = tuple((each.what, each.wanted, each.found, "yes" if each.met else "no") for each in report.wanted())
    return TextTable("wanted", ("of the whole run", "wanted", "found", "met"), rows, texts=1)


def _target_row(target: TargetReport) -> tuple[str, ...]:
    outcomes = target.guided.outcomes + target.blind.outcomes
    return (
        target.name, target.says, f"{target.inputs:,}", f"{target.inputs / max(target.seconds, 1e-9):,.0f}",
        f"{target.accepted:.1%}", f"{target.corpus:,}" if target.guided.inputs else NONE,
        f"{max(target.guided.slowest_s, target.blind.slowest_s) * 1e3:.0f}", *_memory(target.blind, target.growth),
        str(len(target.findings)), _most(outcomes),
    )  # fmt: skip


def _cluster_row(cluster: ClusterRecord) -> tuple[str, ...]:
    record = cluster.record
    growth = NONE if cluster.growth is None else f"{cluster.growth:+.1%}"
    return (
        "cluster", "a running cluster, over its sockets", f"{record.inputs:,}",
        f"{record.inputs / max(record.seconds, 1e-9):,.0f}",
        f"{record.outcomes['accepted'] / max(1, record.inputs):.1%}", NONE, NONE, NONE, growth,
        str(len(cluster.findings)), _most(record.outcomes),
    )  # fmt: skip


def _memory(record: Record, growth: float | None) -> tuple[str, str]:
    """Give the memory at the end and the growth since the process was warm."""
    if growth is None:
        return NONE, NONE
    return f"{record.rss_bytes[-1] / 2**20:.0f}", f"{growth:+.1%}"


def _most(outcomes: Counter[str]) -> str:
    whole = max(1, outcomes.total())
    said = [f"{name} {count / whole:.0%}" for name, count in outcomes.most_common(SHOWN_OUTCOMES)]
    return ", ".join(said)
