"""The jobs of a grid one after another, with what is told meanwhile and what each came to.

Owns the records of a grid's progress, which the tasks of a cluster give too, and that one failing job does not end
the others. How one job is trained is the caller's.
"""

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cluster.training.grid import GridJob
from cluster.training.progress import Listener, Progress
from wire.errors import IsthmusError

FEATURES: Final = "features"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """What one job came to.

    ``agreement`` (0 to 1) and ``bytes_estimate`` (of one frame) are the last that the training told; None where it told
    none, as of a codec that is only calibrated. ``trace`` is the traceback of an error that is none of ours.
    """

    job: GridJob
    state: Literal["trained", "failed"]
    seconds: float
    weights: Path | None = None
    agreement: float | None = None
    bytes_estimate: float | None = None
    error: str | None = None
    trace: str | None = None
    node: str | None = None
    """Where it ran, of a job that ran on a cluster."""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job has begun; ``number`` counts the grid's jobs from 0."""

    number: int


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Where a job stands."""

    number: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job has ended, well or not."""

    number: int
    report: JobReport


GridEvent = JobStarted | JobProgress | JobEnded
GridListener = Callable[[GridEvent], None]
TrainJob = Callable[[GridJob, Listener], Path]
"""Trains one job, tells the listener how far it is, and gives the weights file."""


def run_in_turn(jobs: Sequence[GridJob], train: TrainJob, listener: GridListener) -> list[JobReport]:
    """Train the jobs one after another; the reports are in their order."""
    reports = []
    for number, job in enumerate(jobs):
        listener(JobStarted(number))
        report = run_job(job, train, lambda progress, number=number: listener(JobProgress(number, progress)))  # type: ignore[misc]  # mypy wants no default in a lambda
        listener(JobEnded(number, report))
        reports.append(report)
    return reports


def run_job(job: GridJob, train: TrainJob, listener: Listener) -> JobReport:
    """Train one job, and report its failure instead of raising it."""
    started = time.monotonic()
    last: Progress | None = None

    def on_progress(progress: Progress) -> None:
        nonlocal last
        if progress.stage != FEATURES:
            last = progress
        listener(progress)

    error = trace = weights = None
    try:
        weights = train(job, on_progress)
    except IsthmusError as ours:
        error = str(ours)
    except Exception as fault:  # noqa: BLE001 - the grid goes on whatever a recipe or a user's network raises
        error, trace = f"{type(fault).__name__}: {fault}", traceback.format_exc()
    return JobReport(
        job=job,
        state="trained" if weights else "failed",
        seconds=time.monotonic() - started,
        weights=weights,
        agreement=_known(last.agreement) if last else None,
        bytes_estimate=_known(last.bytes) if last else None,
        error=error,
        trace=trace,
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
