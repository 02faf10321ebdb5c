"""The demo while it runs: a live table on a terminal, and a line now and then elsewhere."""

import time
from collections import defaultdict
from typing import Final, Self

from rich.live import Live
from rich.table import Table

from cluster.cli.screen import notes
from loadtests.demo_run import Event
from loadtests.link_script import Step

SCREEN_EVERY_S: Final = 0.5
PLAIN_EVERY_S: Final = 5.0


class DemoScreen:
    """Shows the run live on a terminal, and as a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=notes(), auto_refresh=False) if notes().is_terminal else None
        self._last: dict[str, Event] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._link = ""
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def on_step(self, step: Step) -> None:
        """Hear that the link changes."""
        rate = step.state.rate_mbps
        self._link = "down" if rate is None else f"{rate:g} Mbit/s"
        if not self._live:
            notes().print(f"{step.at_s:5.0f} s  link: {self._link}")

    def on_event(self, agent: str, event: Event) -> None:
        """Hear what an agent says."""
        if event["event"] != "frame":
            return
        self._last[agent] = event
        self._counts[agent] += 1
        now = time.monotonic()
        if now - self._shown_at > (SCREEN_EVERY_S if self._live else PLAIN_EVERY_S):
            self._shown_at = now
            self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
            return
        for agent, frame in sorted(self._last.items()):
            notes().print("         " + "  ".join(str(cell) for cell in self._row(agent, frame)))

    def _table(self) -> Table:
        table = Table(title=f"link: {self._link}", title_justify="left")
        for heading in ("agent", "frames", "answered at", "by", "latency", "bytes", "sees"):
            table.add_column(heading)
        for agent, frame in sorted(self._last.items()):
            table.add_row(*self._row(agent, frame))
        return table

    def _row(self, agent: str, frame: Event) -> tuple[str, ...]:
        by = frame["where"] + (f" ({frame['fallback']})" if frame["fallback"] else "")
        return (
            agent,
            str(self._counts[agent]),
            f"{frame['point']}/{frame['rate']}",
            by,
            f"{frame['latency_ms']:.0f} ms",
            f"{frame['bytes']:,} B",
            f"{frame['label']} {frame['score']:.0%}",
        )
