"""What ``isthmus top`` draws: points, replicas and agents of a running cluster as tables, pure from what was read.

Owns the layout. The values are plain, as the control application gives them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

Plain = dict[str, Any]

BAR: Final = 6
NARROW: Final = 100
"""Columns of a terminal below which tables are set closely, and leave out what can be spared."""
QUIET_S: Final = 5.0
"""An agent from which nothing came for longer is shown dim."""
LINES_BESIDE_ROWS: Final = 15
"""Headings, rules and the first lines."""
STATES: Final = {"ready": "green", "starting": "yellow", "draining": "yellow", "cold": "blue", "failing": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What was read of a cluster at one moment."""

    url: str
    version: Plain
    points: Sequence[Plain]
    replicas: Sequence[Plain]
    agents: Sequence[Plain]

    def as_plain(self) -> Plain:
        """Give it as JSON."""
        return {
            "url": self.url,
            "version": self.version,
            "points": list(self.points),
            "replicas": list(self.replicas),
            "agents": list(self.agents),
        }


def draw(status: ClusterStatus, *, width: int, lines: int | None = None) -> Group:
    """Draw a cluster; of replicas and agents no more than fit in ``lines``, if that is given."""
    narrow = width < NARROW
    left = None if lines is None else max(lines - LINES_BESIDE_ROWS - len(status.points), 4)
    for_replicas = None if left is None else max(left - len(status.agents), left // 3, 2)
    shown = status.replicas[:for_replicas]
    for_agents = None if left is None else max(left - len(shown), 2)
    parts: list[RenderableType] = [
        _head(status),
        Text(),
        _points(status, narrow=narrow),
        _rule("replicas", len(status.replicas), len(shown)),
        _replicas(shown, narrow=narrow),
        _rule("agents", len(status.agents), len(status.agents[:for_agents])),
    ]
    if status.agents:
        parts.append(_agents(status.agents[:for_agents], narrow=narrow))
    else:
        parts.append(Text("no agent was seen in the last minute", style="dim"))
    return Group(*parts)


def _head(status: ClusterStatus) -> Text:
    ready = bool(status.points) and all(point["state"] in ("ready", "cold") for point in status.points)
    frames_s = sum(replica["frames_s"] for replica in status.replicas)
    streams = sum(replica["streams"] for replica in status.replicas)
    return Text.assemble(
        ("isthmus ", "bold"),
        f"{status.version.get('isthmus', '?')}  {status.url}  bundle {str(status.version.get('bundle', '?'))[:12]}  ",
        ("● ready" if ready else "● not ready", "green" if ready else "yellow"),
        f"\n{frames_s:.1f} frames/s   {_count(len(status.agents), 'agent')}   {_count(streams, 'stream')}   "
        f"{_count(len(status.replicas), 'replica')}",
    )


def _points(status: ClusterStatus, *, narrow: bool) -> Table:
    names = ("point", "state", ">repl.", "busy", ">serve ms", ">queue ms", ">inside", ">frames/s", ">agents")
    table = _table(*names, narrow=narrow)
    frames_s: dict[str, float] = defaultdict(float)
    for replica in status.replicas:
        frames_s[replica["point"]] += replica["frames_s"]
    for point in status.points:
        name = point["point"]
        table.add_row(
            Text(name, style="bold"),
            Text(point["state"], style=STATES.get(point["state"], "")),
            str(point["replicas"]),
            _bar(point["utilisation"]),
            f"{point['service_s'] * 1e3:.1f}",
            f"{point['queue_s'] * 1e3:.1f}",
            str(point["in_flight"]),
            f"{frames_s[name]:.1f}",
            str(sum(agent["point"] == name for agent in status.agents)),
        )
    return table


def _replicas(replicas: Iterable[Plain], *, narrow: bool) -> Table:
    names = ("point", "replica", "state", "busy", ">queue ms", ">inside", ">frames/s", ">frames", ">streams")
    table = _table(*names, narrow=narrow)
    for replica in replicas:
        table.add_row(
            replica["point"],
            replica["replica"],
            Text(replica["state"], style=STATES.get(replica["state"], "")),
            _bar(replica["utilisation"]),
            f"{replica['queue_s'] * 1e3:.1f}",
            str(replica["in_flight"]),
            f"{replica['frames_s']:.1f}",
            _short(replica["frames"]),
            str(replica["streams"]),
        )
    return table


def _agents(agents: Iterable[Plain], *, narrow: bool) -> Table:
    names = ("device", "cut", ">frames/s", ">frames", ">refused", ">B/frame", ">last frame", "replica")
    table = _table(*(names[:-1] if narrow else names), narrow=narrow)
    for agent in agents:
        frames = agent["frames"]
        cut = Text("–", style="dim") if agent["point"] is None else Text(f"{agent['point']}/{agent['rate']}")
        table.add_row(
            Text(agent["device"]),  # a device may be named as it likes: nothing of it is markup
            cut,
            f"{agent['frames_s']:.1f}",
            _short(frames),
            Text(_short(agent["refused"]), style="red" if agent["refused"] else ""),
            f"{agent['received_bytes'] / frames:,.0f}" if frames else "–",
            f"{agent['quiet_s']:.1f} s ago",
            *([] if narrow else [agent["replica"]]),
            style="dim" if agent["quiet_s"] > QUIET_S else "",
        )
    return table


def _table(*columns: str, narrow: bool) -> Table:
    """Make a table; a column that begins with > is of numbers."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1 if narrow else 3, 0, 0))
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table


def _rule(name: str, count: int, shown: int) -> Rule:
    return Rule(Text(name if shown == count else f"{name}: {shown} of {count}", "dim"), align="left", style="dim")


def _bar(share: float) -> Text:
    full = round(min(max(share, 0.0), 1.0) * BAR)
    colour = "red" if share > 0.9 else "yellow" if share > 0.7 else "green"
    return Text.assemble(("█" * full, colour), ("·" * (BAR - full), "dim"), f" {share:4.0%}")


def _short(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number / 1e3:.0f}k" if number < 1e6 else f"{number / 1e6:.1f}M"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
