"""The pictures of the comparison: pages of traces with our choices over time, and one with all policies' latencies.

Owns the drawing; the figures are ``adapt_report``'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from loadtests.adapt_report import BEST_FIXED, ORACLE, OURS, AdaptReport, best_paper, figures
from loadtests.frame_row import PolicyRun, Runs
from loadtests.link_script import LinkScript
from loadtests.picture_file import written

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#666666")
"""Okabe and Ito's palette, which the colour-blind can tell apart; a colour is a point."""
PAGE_ROWS: Final = 3
PAGE_COLUMNS: Final = 2
CELL_INCHES: Final = (6.2, 3.4)
OVERVIEW_INCHES: Final = (9.0, 3.6)
DPI: Final = 80
LATENCY_TICKS_MS: Final = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)
"""Where latencies reach, on a logarithmic scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all pictures have in common: the points from the input to the output, and the deadline."""

    points: Sequence[str]
    deadline_s: float

    def colour(self, point: str) -> str:
        """Give the colour of a point."""
        return COLOURS[self.points.index(point) % len(COLOURS)]


def draw_traces(runs: Runs, scripts: Mapping[str, LinkScript], scene: Scene, folder: Path, stem: str) -> list[Path]:
    """Draw the link, our choices and the latencies of each trace, six on a page; the files are ``stem``-1.png and on.

    Raises:
        SettingError: a file cannot be written.
    """
    paths = []
    width, height = CELL_INCHES
    for number, names in enumerate(_in_pages(list(runs)), start=1):
        columns = min(PAGE_COLUMNS, len(names))
        rows = -(-len(names) // columns)
        figure = _figure((width * columns, height * rows))
        cells = figure.subfigures(rows, columns, squeeze=False)
        for cell, name in zip(cells.flat, names, strict=False):
            lines = _draw_trace(cell, name, runs[name], scripts[name], scene)
        figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), fontsize=8, frameon=False)
        paths.append(written(figure, folder / f"{stem}-{number}.png", dpi=DPI))
    return paths


def draw_overview(report: AdaptReport, scene: Scene, path: Path) -> Path:
    """Draw the mean, the 95th percentile and the missed deadlines of every policy over all traces.

    Raises:
        SettingError: the file cannot be written.
    """
    figure = _figure(OVERVIEW_INCHES)
    panels = figure.subplots(1, 3, sharey=True)
    policies = list(report.overall)[::-1]
    columns = {
        "mean latency, ms": [report.overall[policy].mean_ms for policy in policies],
        "95th percentile, ms": [report.overall[policy].p95_ms for policy in policies],
        "deadlines missed, %": [report.overall[policy].missed_share * 100 for policy in policies],
    }
    colours = [{OURS: COLOURS[0], ORACLE: "#bbbbbb"}.get(policy, COLOURS[4]) for policy in policies]
    for axes, (title, values) in zip(panels, columns.items(), strict=True):
        bars = axes.barh(policies, values, color=colours, height=0.7)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlim(0, max(values) * 1.2 or 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    for axes in panels[:2]:
        axes.axvline(scene.deadline_s * 1e3, color="#222222", ls="--", lw=1)
    figure.suptitle(
        f"{len(report.by_trace)} recorded links; dashed: the deadline of {scene.deadline_s * 1e3:.0f} ms",
        x=0.01, ha="left", fontsize=10,
    )  # fmt: skip
    return written(figure, path, dpi=DPI)


def _draw_trace(
    cell: SubFigure, name: str, by_policy: Mapping[str, PolicyRun], script: LinkScript, scene: Scene
) -> list[Line2D]:
    link, choice, latency = cell.subplots(3, 1, sharex=True, height_ratios=(1, 1.2, 2))
    ours = by_policy[OURS]
    seconds = max((row.due_s for row in ours.rows), default=1.0)
    _draw_link(link, script, seconds)
    _draw_choice(choice, ours, scene)
    lines = _draw_latency(latency, by_policy, scene)
    for axes in (link, choice, latency):
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.set_xlim(0, seconds)
    link.set_title(name, loc="left", fontsize=9)
    latency.set_xlabel("seconds", fontsize=8)
    return lines


def _draw_link(axes: Axes, script: LinkScript, seconds: float) -> None:
    steps = [step for step in script.steps if step.at_s < seconds]
    edges = [*(step.at_s for step in steps), seconds]
    rates = [step.state.rate_mbps or 0.0 for step in steps]
    axes.stairs(rates, edges, color="#444444", lw=1.2, fill=True, alpha=0.35)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("Mbit/s", fontsize=8)


def _draw_choice(axes: Axes, ours: PolicyRun, scene: Scene) -> None:
    heights = [scene.points.index(row.point) for row in ours.rows]
    colours = [scene.colour(row.point) for row in ours.rows]
    axes.scatter([row.due_s for row in ours.rows], heights, s=7, c=colours, marker="s", lw=0)
    axes.set_yticks(range(len(scene.points)), scene.points, fontsize=7)
    axes.set_ylim(-0.6, len(scene.points) - 0.4)
    axes.set_ylabel("ours cuts at", fontsize=8)


def _draw_latency(axes: Axes, by_policy: Mapping[str, PolicyRun], scene: Scene) -> list[Line2D]:
    paper = best_paper({policy: figures([run]) for policy, run in by_policy.items()})
    styles: dict[str, dict[str, Any]] = {
        BEST_FIXED: {"color": "#999999", "lw": 0.9},
        paper: {"color": "#e69f00", "lw": 0.9, "label": "best of the papers'"},
        OURS: {"color": "#0072b2", "lw": 1.5},
        ORACLE: {"color": "#000000", "lw": 0.9, "ls": ":"},
    }
    lines: list[Line2D] = []
    for policy, style in styles.items():
        if policy in by_policy:
            rows = by_policy[policy].rows
            latencies_ms = [row.latency_s * 1e3 for row in rows]
            lines += axes.plot([row.due_s for row in rows], latencies_ms, **{"label": policy, **style})
    lines.append(axes.axhline(scene.deadline_s * 1e3, color="#d55e00", ls="--", lw=0.8, label="deadline"))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(list(LATENCY_TICKS_MS)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("latency, ms", fontsize=8)
    return lines


def _in_pages(names: Sequence[str]) -> Iterator[Sequence[str]]:
    size = PAGE_ROWS * PAGE_COLUMNS
    for begin in range(0, len(names), size):
        yield names[begin : begin + size]


def _figure(size_inches: tuple[float, float]) -> Figure:
    mpl.use("agg")
    return Figure(figsize=size_inches, layout="constrained")
