"""The live bar of a training run: phase, step, loss, bytes and agreement."""

import math
import sys
import time
from types import TracebackType
from typing import Final, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.cli.screen import notes
from cluster.training.progress import Progress as TrainingProgress

PLAIN_INTERVAL_S: Final = 30.0


class TrainingBar:
    """Shows the progress of one training; without a terminal, a line now and then."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(), console=notes(), disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._tasks: dict[str, int] = {}
        self._said_at = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: TrainingProgress) -> None:
        """Draw where the training stands."""
        bar = "features" if progress.stage == "features" else "training"
        if bar not in self._tasks:
            self._tasks[bar] = self._bar.add_task(bar, total=progress.steps, figures="")
        figures = ""
        if bar == "training":
            figures = f"loss {progress.loss:.4f}  {progress.bytes:,.0f} B"
            if not math.isnan(progress.agreement):  # not known before the first epoch has ended
                figures += f"  agreement {progress.agreement:.1%}"
        description = f"{self._title} {progress.stage}"
        self._bar.update(self._tasks[bar], completed=progress.step, description=description, figures=figures)  # type: ignore[arg-type]  # rich's TaskID is an int
        if self._bar.disable and time.monotonic() - self._said_at > PLAIN_INTERVAL_S:
            self._said_at = time.monotonic()
            notes().print(f"{description} {progress.step}/{progress.steps} {figures}")
