"""The stages of ``isthmus bench adapt`` as one bar, with an estimate of the time that is left.

Owns how long each stage is expected to take.
"""

from typing import Final, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cluster.cli.screen import notes

_AGENT_START_S: Final = 6.0
_SWEEP_S: Final = 200.0
_VIRTUAL_S_PER_TRACE: Final = 1.0
_FULL_S_PER_TRACE: Final = 12.0


class Stages:
    """Shows how far a run is; a context manager.

    ``window_s`` None means that nothing is run for real, and ``turns`` is how often a trace is played for all policies.
    """

    def __init__(self, *, traces: int, window_s: float | None, sweep: bool, turns: int = 1) -> None:
        cluster = sweep or window_s is not None
        self._expected_s = {
            "profile": 20.0 * cluster,
            "cluster": 30.0 * cluster,
            "sweep": _SWEEP_S * sweep,
            "virtual": 2 * _VIRTUAL_S_PER_TRACE * traces,
            "real": traces * turns * (window_s + 2 * _AGENT_START_S) if window_s is not None else 0.0,
            "full": _FULL_S_PER_TRACE * traces,
            "falls": 40.0,
        }
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left:"),
            TimeRemainingColumn(), console=notes(), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=sum(self._expected_s.values()))
        self._stage, self._what = "profile", ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, stage: str, what: str) -> None:
        """Begin a stage, and so end those before it; ``what`` says in words what is done."""
        self._stage, self._what = stage, what
        if not notes().is_terminal:
            notes().print(what)
        self.on("", 0, 1)

    def on(self, part: str, done: int, total: int) -> None:
        """Hear that so many parts of the stage are done, and which one begins."""
        if part and not notes().is_terminal:
            notes().print(f"  {part} ({done + 1} of {total})", markup=False)
        names = list(self._expected_s)
        before_s = sum(self._expected_s[name] for name in names[: names.index(self._stage)])
        completed = before_s + self._expected_s[self._stage] * done / max(1, total)
        self._bar.update(self._task, description=f"{self._what} {part}".strip(), completed=completed)

    def at(self, number: int) -> None:
        """Hear that another round begins, of nobody knows how many."""
        self._bar.update(self._task, description=f"{self._what}, round {number}")
