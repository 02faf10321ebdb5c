"""The live bars of trainings: stage, step, loss, bytes and agreement; of a grid also how many jobs have ended."""

import math
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cluster.cli.screen import notes
from cluster.training.grid import GridJob
from cluster.training.grid_runner import GridEvent, JobEnded, JobProgress, JobStarted
from cluster.training.progress import Progress as TrainingProgress

PLAIN_INTERVAL_S: Final = 30.0


class _Bars:
    """A block of bars on a terminal, and nothing elsewhere."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(), console=notes(), disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class TrainingBar(_Bars):
    """Shows the progress of one training; without a terminal, a line now and then."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._tasks: dict[str, TaskID] = {}
        self._said_at = 0.0

    def show(self, progress: TrainingProgress) -> None:
        """Draw where the training stands."""
        bar = "features" if progress.stage == "features" else "training"
        if bar not in self._tasks:
            self._tasks[bar] = self._bar.add_task(bar, total=progress.steps, figures="")
        figures = _figures(progress)
        description = f"{self._title} {progress.stage}"
        self._bar.update(self._tasks[bar], completed=progress.step, description=description, figures=figures)
        if self._bar.disable and time.monotonic() - self._said_at > PLAIN_INTERVAL_S:
            self._said_at = time.monotonic()
            notes().print(f"{description} {progress.step}/{progress.steps} {figures}")


class GridBar(_Bars):
    """Shows how many jobs of a grid have ended, and those that run; without a terminal, a line when one ends."""

    def __init__(self, jobs: Sequence[GridJob]) -> None:
        super().__init__()
        self._jobs = jobs
        self._all = self._bar.add_task("jobs", total=len(jobs), figures="")
        self._tasks: dict[int, TaskID] = {}
        self._ended = self._failed = 0

    def show(self, event: GridEvent) -> None:
        """Draw what has happened."""
        match event:
            case JobStarted(number):
                self._tasks[number] = self._bar.add_task(self._title(number), total=None, figures="starts")
            case JobProgress(number, progress):
                self._bar.update(
                    self._tasks[number], completed=progress.step, total=progress.steps,
                    description=f"{self._title(number)} {progress.stage}", figures=_figures(progress),
                )  # fmt: skip
            case JobEnded(number, report):
                self._bar.remove_task(self._tasks.pop(number))
                self._ended += 1
                self._failed += report.state == "failed"
                figures = f"{self._failed} failed" if self._failed else ""
                self._bar.update(self._all, completed=self._ended, figures=figures)
                why = f": {report.error}" if report.error else f" in {report.seconds:,.0f} s"
                if self._bar.disable or report.error:
                    notes().print(f"{self._title(number)} {report.state}{why}", markup=False, soft_wrap=True)

    def _title(self, number: int) -> str:
        return f"job {number + 1} of {len(self._jobs)}: {self._jobs[number]}"


def _figures(progress: TrainingProgress) -> str:
    if progress.stage == "features":
        return ""
    figures = f"loss {progress.loss:.4f}  {progress.bytes:,.0f} B"
    if math.isnan(progress.agreement):  # not known before the first epoch has ended
        return figures
    return f"{figures}  agreement {progress.agreement:.1%}"
