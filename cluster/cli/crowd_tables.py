"""The tables and sentences of ``isthmus bench crowd``, for the screen and for docs/crowd.md. Owns their words."""

from collections.abc import Sequence
from typing import Final

from cluster.comparison.text_table import TextTable
from loadtests.crowd_figures import SWING_WANTED
from loadtests.crowd_outcome import CALM, CrowdOutcome, CrowdPlayed, StepReport

NEVER: Final = "never"
HEADINGS: Final = (
    "others", "crowd", "settles s", "overshoot %", "swing %", "of a point", "swings on", "Jain", "mean ms",
    "p95 ms", "on device", "offered", "utilisation",
)  # fmt: skip

WANTED_HEADINGS: Final = (
    "run", "crowd", "steps kept", "worst swing", "of a point", "swings on", "worst overshoot", "least Jain", "met",
)  # fmt: skip


def screened(outcome: CrowdOutcome) -> list[TextTable]:
    """Give the tables for the screen, in their order."""
    return [*(steps_table(name, played) for name, played in outcome.played.items()), wanted_table(outcome)]


def blocks(outcome: CrowdOutcome) -> dict[str, str]:
    """Give what a document can have of the runs, as Markdown."""
    return {
        "summary": summary(outcome),
        **{name: steps_table(name, played).markdown() for name, played in outcome.played.items()},
        "wanted": wanted_table(outcome).markdown(),
    }


def summary(outcome: CrowdOutcome) -> str:
    """Say what was played, and on what."""
    said = [_played(name, played) for name, played in outcome.played.items()]
    loads = outcome.loads
    return (
        f"The devices are {outcome.device}. {' '.join(said)} This machine has {loads.cores} cores; its load "
        f"average was {loads.before:.1f} before and {loads.after:.1f} at the end."
    )


def steps_table(name: str, played: CrowdPlayed) -> TextTable:
    """Give a line for every step and way."""
    rows = [
        (f"{report.figures.background_share:.0%}", way, *_cells(report))
        for reports in zip(*map(played.reports, played.samples), strict=True)
        for way, report in zip(played.samples, reports, strict=True)
    ]
    title = f"{played.crowd.agents} agents, {name}: each step of the others' load"
    return TextTable(title, HEADINGS, tuple(rows), texts=2)


def wanted_table(outcome: CrowdOutcome) -> TextTable:
    """Give a line for every run: on how many steps it keeps what is wanted, and its worst."""
    rows = tuple(
        (name, way, *_worst(played.reports(way), judged=way == CALM))
        for name, played in outcome.played.items()
        for way in played.samples
    )
    title = f"wanted: settles, swings at no point by {SWING_WANTED:.0%} of the crowd's load, and does not swing on"
    return TextTable(title, WANTED_HEADINGS, rows, texts=2)


def _worst(reports: Sequence[StepReport], *, judged: bool) -> tuple[str, ...]:
    kept = sum(report.kept for report in reports)
    met = "yes" if kept == len(reports) else "short"
    return (
        f"{kept} of {len(reports)}",
        f"{max(report.swing_of_all for report in reports):.1%}",
        f"{max(report.figures.swing for report in reports):.1%}",
        str(sum(report.figures.oscillates for report in reports)),
        # The first step begins with nobody there.
        f"{max(report.overshoot for report in reports[1:] or reports):.0%}",
        f"{min(report.figures.fairness for report in reports):.3f}",
        met if judged else "–",
    )


def _cells(report: StepReport) -> tuple[str, ...]:
    figures = report.figures
    return (
        NEVER if figures.settle_s is None else f"{figures.settle_s:.0f}", f"{report.overshoot * 100:.0f}",
        f"{report.swing_of_all * 100:.1f}", f"{figures.swing * 100:.1f}", "yes" if figures.oscillates else "no",
        f"{figures.fairness:.3f}",
        f"{figures.latency_s * 1e3:.0f}", f"{report.latency_p95_s * 1e3:.0f}", f"{figures.on_device:.0%}",
        f"{figures.offered:.2f}", f"{figures.utilisation:.0%}",
    )  # fmt: skip


def _played(name: str, played: CrowdPlayed) -> str:
    crowd = played.crowd
    steps = ", ".join(f"{step.background_share:.0%} for {step.seconds:g} s" for step in crowd.steps)
    others = next(iter(played.others.values()), {}).get("option")
    how = f"{name.capitalize()}: {crowd.agents} agents at {crowd.device.fps:g} frames a second"
    on = "one cluster on this machine" if others else f"{crowd.servers} servers"
    sent = f" by {others}" if others else ""
    asked = f"others ask{sent} for so much of what can be answered frame by frame: {steps}"
    return f"{how} on {on}; {asked}.{_refused(played)}"


def _refused(played: CrowdPlayed) -> str:
    """Say how many of the others' frames were refused; of a virtual run nobody counts them."""
    shares = [
        f"{each['refused'] / max(1, each['refused'] + each['answered']):.0%} ({way})"
        for way, each in played.others.items()
    ]
    return f" The cluster refused {' and '.join(shares)} of the others' frames." if shares else ""
