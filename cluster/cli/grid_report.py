"""What a grid of trainings came to, for people and for programs.

Owns the tables and the records. Measures nothing and chooses nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from cluster.cli.screen import notes, output
from cluster.codecs.weights import CodecKey
from cluster.training.grid_runner import JobReport
from cluster.training.selection import Candidate, Choice
from wire.manifest import Measured
from wire.records import to_plain

Figures = Mapping[CodecKey, Mapping[str, Measured]]
"""What was measured, by codec and rate."""


def grid_record(
    backbone: str, reports: Sequence[JobReport], figures: Figures, choices: Sequence[Choice]
) -> dict[str, Any]:
    """Give everything as plain values; ``chosen`` has an entry a point, and is empty where nothing was to be chosen."""
    return {
        "backbone": backbone,
        "jobs": [_job(report, figures.get(report.job.key, {})) for report in reports],
        "chosen": [
            {"point": choice.point, "chosen": _candidate(choice.chosen), "nearest": _candidate(choice.nearest)}
            for choice in choices
        ],
    }


def print_jobs(reports: Sequence[JobReport]) -> None:
    """Print a line a job, and behind the table the tracebacks of faults that are none of ours."""
    table = Table(title="jobs", title_justify="left")
    for heading in ("point", "codec", "setting", "state", "agrees", "bytes", "s", "error"):
        table.add_column(heading, justify="right" if heading in ("agrees", "bytes", "s") else "left")
    for report in reports:
        key = report.job.key
        table.add_row(
            key.point, key.codec, key.setting, report.state,
            "" if report.agreement is None else f"{report.agreement:.1%}",
            "" if report.bytes_estimate is None else f"{report.bytes_estimate:,.0f}",
            f"{report.seconds:,.0f}", escape(report.error or ""),
        )  # fmt: skip
    output().print(table)
    if any(report.bytes_estimate for report in reports):
        output().print("agreement with the backbone on held-out pictures, and bytes a frame, as the training saw them")
    for report in reports:
        if report.trace:
            notes().print(f"{report.job}:\n{report.trace}", markup=False, soft_wrap=True)


def print_rates(figures: Figures, choices: Sequence[Choice]) -> None:
    """Print what was measured of every rate, and mark those that were chosen."""
    chosen = {(choice.chosen.key, choice.chosen.rate) for choice in choices if choice.chosen}
    table = Table(title="measured", title_justify="left")
    for heading in ("", "point", "codec", "setting", "rate", "bytes", "p95", "top-1", "drop", "agrees"):
        table.add_column(heading, justify="right" if heading in ("bytes", "p95", "top-1", "drop", "agrees") else "left")
    for key, rates in figures.items():
        for rate, measured in rates.items():
            table.add_row(
                "→" if (key, rate) in chosen else "", key.point, key.codec, key.setting, rate,
                f"{measured.bytes_mean:,.0f}", f"{measured.bytes_p95:,.0f}", f"{measured.top1:.1%}",
                f"{measured.top1_drop * 100:.1f}", f"{measured.agreement:.1%}",
            )  # fmt: skip
    output().print(table)


def print_choices(choices: Sequence[Choice], most_drop_points: float) -> None:
    """Say for each point what was chosen, or what came nearest; the bound is in points of top-1."""
    for choice in choices:
        if choice.chosen:
            said = f"{_named(choice.chosen)}"
        elif choice.nearest:
            said = f"nothing loses at most {most_drop_points:g} points; nearest came {_named(choice.nearest)}"
        else:
            said = "nothing was measured"
        output().print(f"{choice.point}: {said}", soft_wrap=True)


def _named(candidate: Candidate) -> str:
    key = candidate.key
    rate = "" if candidate.rate in (key.setting, "huffman") else f" at {candidate.rate}"
    return (
        f"{key.codec} {key.setting}{rate}, {candidate.bytes_mean:,.0f} bytes, "
        f"{candidate.top1_drop * 100:.1f} points of top-1 lost"
    )


def _job(report: JobReport, rates: Mapping[str, Measured]) -> dict[str, Any]:
    key = report.job.key
    return {
        "point": key.point,
        "codec": key.codec,
        "setting": key.setting,
        "state": report.state,
        "agreement": report.agreement,
        "bytes_estimate": report.bytes_estimate,
        "seconds": report.seconds,
        "weights": str(report.weights) if report.weights else None,
        "error": report.error,
        "node": report.node,
        "measured": {rate: to_plain(measured) for rate, measured in rates.items()},
    }


def _candidate(candidate: Candidate | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "codec": candidate.key.codec,
        "setting": candidate.key.setting,
        "rate": candidate.rate,
        "bytes_mean": candidate.bytes_mean,
        "top1_drop": candidate.top1_drop,
    }
