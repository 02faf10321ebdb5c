"""The tables and sentences of ``isthmus bench faults``, for the screen and for its document. Owns their words."""

from typing import Final

from cluster.comparison.text_table import TextTable
from loadtests.fault_outcome import FaultOutcome
from loadtests.fault_run import FaultRun

HEADINGS: Final = (
    "fault", "what happens", "sent", "by cluster", "by device", "missed", "lost", "late",
    "noticed s", "detected s",
    "full service s",
)  # fmt: skip
NONE: Final = "–"


def fault_table(outcome: FaultOutcome) -> TextTable:
    """Give a line for every fault."""
    title = f"faults under load: {outcome.lost} of {outcome.sent} frames lost"
    return TextTable(title, HEADINGS, tuple(map(_row, outcome.runs)), texts=2)


def blocks(outcome: FaultOutcome) -> dict[str, str]:
    """Give what a document can have of the runs, as Markdown."""
    return {"summary": summary(outcome), "faults": fault_table(outcome).markdown(), "random": random_order(outcome)}


def summary(outcome: FaultOutcome) -> str:
    """Say what was played, on what, and what came of it."""
    skipped = "".join(f" Not run: {name} ({why})." for name, why in outcome.skipped.items())
    agents = ", ".join(outcome.agents.values())
    loads = outcome.loads
    return (
        f"{len(outcome.agents)} agents ({agents}) play {outcome.device} at {outcome.fps:g} frames a second each, with "
        f"a deadline of {outcome.deadline_s * 1e3:g} ms, behind one emulated link. {len(outcome.runs)} experiments, "
        f"{outcome.sent} frames, **{outcome.lost} lost**.{skipped} This machine has {loads.cores} cores; its load "
        f"average was {loads.before:.1f} before and {loads.after:.1f} at the end."
    )


def random_order(outcome: FaultOutcome) -> str:
    """Say what struck when, where faults struck at random."""
    said = [
        ", ".join(f"{what} at {at_s - run.struck_s:.0f} s" for at_s, what in run.strikes)
        for run in outcome.runs
        if len(run.strikes) > 1
    ]
    return "\n\n".join(said) or "Not run."


def _row(run: FaultRun) -> tuple[str, ...]:
    figures = run.figures
    return (
        run.name, run.title, str(figures.sent), str(figures.by_cluster), str(figures.by_device), str(figures.missed),
        str(figures.lost), str(figures.late), _seconds(figures.noticed_s), _seconds(run.detected_s), _full(run),
    )  # fmt: skip


def _full(run: FaultRun) -> str:
    full_s = run.figures.full_service_s
    return f"not in {run.watched_s:.0f}" if full_s is None else f"{full_s:.1f}"


def _seconds(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds:.1f}"
