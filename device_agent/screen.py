"""What a person sees on a terminal: the live table, the progress of a fetch, the summary; through rich."""

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from device_agent.answer import FrameAnswer, option_name
from device_agent.bundle_cache import Progress as Hear

ROWS: Final = 10


class TableReport:
    """A table of the last frames that is drawn again and again, with the state of the link above it."""

    def __init__(self) -> None:
        self._console = Console()
        self._answers: deque[FrameAnswer] = deque(maxlen=ROWS)
        self._link = "up"
        self._frames = 0
        self._alone = 0
        self._looked_again = 0
        self._live = Live(console=self._console, refresh_per_second=8, get_renderable=self._draw)
        self._live.start()

    def frame(self, answer: FrameAnswer) -> None:
        """Take one answer into the table."""
        self._answers.append(answer)
        self._frames += 1
        self._alone += answer.fallback is not None
        self._looked_again += answer.looks > 1

    def event(self, plain: dict[str, Any]) -> None:
        """Show the state of the link, and anything else as a line above the table."""
        name = str(plain["event"])
        if name.startswith("link."):
            self._link = name.removeprefix("link.")
        elif name != "agent.started":
            self._console.print(Text(name, style="dim"))

    def summary(self, plain: dict[str, Any]) -> None:
        """Stop drawing, and draw the summary."""
        self._live.stop()
        draw_summary(plain, sys.stdout)

    def _draw(self) -> Group:
        return Group(self._head_line(), self._table())

    def _head_line(self) -> Text:
        if not self._answers:
            return Text("waiting for the first frame")
        last = self._answers[-1]
        span_s = last.unix_s - self._answers[0].unix_s
        fps = (len(self._answers) - 1) / span_s if span_s > 0 else 0.0
        bandwidth = last.bandwidth_bytes_s
        parts = [
            f"link {self._link}",
            f"{bandwidth * 8e-6:.2f} Mbit/s" if bandwidth is not None else "bandwidth not known yet",
            option_name(last.option),
            f"{fps:.1f} frames/s",
            f"{self._frames} frames, {self._alone} after a failed plan",
        ]
        if self._looked_again:
            parts.append(f"{self._looked_again} looked at again")
        if last.emulated is not None:
            parts.append(f"emulated: {last.emulated.device or 'a device'}, {last.emulated.slowdown:.1f} times slower")
        return Text("  ·  ".join(parts), style="bold" if self._link == "up" else "bold red")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("frame", "ms", "device", "link", "cluster", "local", "bytes"):
            table.add_column(title, justify="right")
        for title in ("option", "where", "label"):
            table.add_column(title)
        for answer in self._answers:
            parts = answer.parts
            times = (answer.latency_s, parts.device, parts.link, parts.cluster, parts.local)
            where = answer.where if answer.fallback is None else f"{answer.where} ({answer.fallback})"
            table.add_row(
                str(answer.frame),
                *(f"{seconds * 1e3:.1f}" for seconds in times),
                str(answer.sent_bytes),
                option_name(answer.option),
                where,
                f"{answer.label} {answer.score:.2f}",
            )
        return table


@contextmanager
def fetch_bar() -> Iterator[Hear]:
    """Show on stderr, if that is a terminal, how much of a bundle has come; gives what hears of it."""
    columns = (TextColumn("fetching the bundle"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fetch")

        def hear(done_bytes: int, total_bytes: int) -> None:
            bar.update(task, completed=done_bytes, total=total_bytes)

        yield hear


def draw_summary(plain: dict[str, Any], file: TextIO) -> None:
    """Draw the summary of a run as a table."""
    table = Table(title="summary", title_justify="left", box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in plain.items():
        if key != "event":
            table.add_row(key, _shown(value))
    Console(file=file).print(table)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key}: {inner}" for key, inner in value.items()) or "none"
    return "–" if value is None else str(value)
