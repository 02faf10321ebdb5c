"""The pictures of a load benchmark: capacity, overload, spike and background traffic. Owns the drawing alone."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from loadtests.adapt_picture import LATENCY_TICKS_MS
from loadtests.load_background import LINK_MBPS
from loadtests.load_outcome import LoadOutcome
from loadtests.load_overload import TIMES
from loadtests.load_scene import EntrantName, LoadRun
from loadtests.load_spike import Spike
from loadtests.picture_file import written

DPI: Final = 90
STYLES: Final[dict[EntrantName, dict[str, Any]]] = {
    "tutorial": {"color": "#d55e00", "marker": "s"},
    "jpeg": {"color": "#e69f00", "marker": "^"},
    "device": {"color": "#888888", "marker": "v"},
    "cut": {"color": "#56b4e9", "marker": "D"},
    "ours": {"color": "#0072b2", "marker": "o"},
}
"""Okabe and Ito's palette."""


def draw_loads(outcome: LoadOutcome, folder: Path) -> list[Path]:
    """Draw what was played, as load-NAME.png in a folder; gives the files.

    Raises:
        SettingError: a file cannot be written.
    """
    mpl.use("agg")
    drawn = []
    if outcome.capacities:
        drawn.append(written(_capacity(outcome), folder / "load-capacity.png", dpi=DPI))
    if outcome.overloads:
        drawn.append(written(_overload(outcome), folder / "load-overload.png", dpi=DPI))
    if outcome.spikes:
        drawn.append(written(_spike(outcome), folder / "load-spike.png", dpi=DPI))
    if outcome.background:
        drawn.append(written(_background(outcome), folder / "load-background.png", dpi=DPI))
    return drawn


def _capacity(outcome: LoadOutcome) -> Figure:
    """Draw the share of frames in time and the 95th percentile against the agents."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    share, latency = figure.subplots(1, 2)
    for capacity in outcome.capacities:
        runs = sorted((probe.run for probe in capacity.probes), key=lambda run: run.agents)
        agents = [run.agents for run in runs]
        counted = [_in_time(run, cluster=capacity.criterion == "cluster") for run in runs]
        style = STYLES[capacity.entrant.name]
        share.plot(agents, counted, label=capacity.entrant.title, lw=1.6, ms=5, **style)
        p95_ms = [(run.figures.p95_s or float("nan")) * 1e3 for run in runs]
        latency.plot(agents, p95_ms, lw=1.6, ms=5, **style)
    share.axhline(95, color="#222222", ls="--", lw=0.8)
    latency.axhline(outcome.scene.deadline_s * 1e3, color="#222222", ls="--", lw=0.8)
    share.set_ylabel("frames in time, %")
    latency.set_ylabel("p95 of the answers, ms")
    _milliseconds(latency)
    for axes in (share, latency):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"agents at {outcome.scene.fps:g} frames a second")
        _plain(axes)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _overload(outcome: LoadOutcome) -> Figure:
    """Draw what became of the frames at twice the capacity, as shares of all that were due."""
    figure = Figure(figsize=(9, 0.7 * len(outcome.overloads) + 1.8), layout="constrained")
    axes = figure.subplots()
    names = [f"{each.capacity.entrant.title}\n{each.run.agents} agents" for each in outcome.overloads]
    left = [0.0] * len(names)
    for label, colour, shares in _fates(outcome):
        axes.barh(names, shares, left=left, color=colour, label=label, height=0.65)
        left = [before + share for before, share in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"% of the frames due at {TIMES} × the agents held")
    _plain(axes)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _fates(outcome: LoadOutcome) -> list[tuple[str, str, list[float]]]:
    cluster, device, late, skipped, nobody = [], [], [], [], []
    for each in outcome.overloads:
        figures = each.run.figures
        due = max(1, figures.due)
        cluster.append(100 * figures.in_time_by_cluster / due)
        device.append(100 * (figures.in_time - figures.in_time_by_cluster) / due)
        late.append(100 * (figures.by_cluster + figures.by_device - figures.in_time) / due)
        skipped.append(100 * figures.skipped / due)
        nobody.append(100 * figures.unanswered / due)
    return [
        ("the cluster, in time", "#0072b2", cluster), ("the device, in time", "#56b4e9", device),
        ("late", "#e69f00", late), ("skipped", "#bbbbbb", skipped), ("nobody", "#d55e00", nobody),
    ]  # fmt: skip


def _spike(outcome: LoadOutcome) -> Figure:
    """Draw the latency of each second, and below it how many replicas our cluster had."""
    with_replicas = [spike for spike in outcome.spikes if spike.run.replicas]
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    latency, replicas = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for spike in outcome.spikes:
        colour = STYLES[spike.entrant.name]["color"]
        p95_ms = [(second.p95_s or float("nan")) * 1e3 for second in spike.run.seconds]
        latency.plot([at + 0.5 for at in range(len(p95_ms))], p95_ms, color=colour, lw=1.6, label=spike.entrant.title)
    latency.axhline(outcome.scene.deadline_s * 1e3, color="#222222", ls="--", lw=0.8)
    latency.axvline(outcome.spikes[0].begins_s, color="#222222", ls=":", lw=0.8)
    _milliseconds(latency)
    latency.set_ylabel("p95 of each second, ms")
    if with_replicas:
        _replicas(replicas, with_replicas[0])
    replicas.set_ylabel("replicas, ours", fontsize=8)
    replicas.set_xlabel("seconds")
    for axes in (latency, replicas):
        _plain(axes)
    figure.legend(*latency.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _replicas(axes: Axes, spike: Spike) -> None:
    times_s = [at_s for at_s, _ in spike.run.replicas]
    points = sorted({point for _, of in spike.run.replicas for point in of})
    for number, point in enumerate(points):
        counts = [of.get(point, 0) for _, of in spike.run.replicas]
        axes.step(times_s, counts, where="post", lw=1.3, label=point, color=f"C{number}")
    # Room above the lines for their names.
    axes.set_ylim(0, 1.5 * max((count for _, of in spike.run.replicas for count in of.values()), default=1) + 0.5)
    axes.legend(fontsize=7, ncols=len(points), frameon=False, loc="upper left")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _background(outcome: LoadOutcome) -> Figure:
    """Draw the median and the 95th percentile by the rate of the background."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("p50_s", "p95_s"), strict=True):
        for each in outcome.background:
            values = [(getattr(run.figures, name) or float("nan")) * 1e3 for run in each.runs.values()]
            label = each.entrant.title if name == "p50_s" else None
            axes.plot(list(each.runs), values, lw=1.6, ms=5, label=label, **STYLES[each.entrant.name])
        axes.set_xlabel(f"background, Mbit/s of {LINK_MBPS:g}")
        axes.set_ylabel(f"{name[:3]}, ms")
        _milliseconds(axes)
        _plain(axes)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _in_time(run: LoadRun, *, cluster: bool) -> float:
    figures = run.figures
    return 100 * (figures.in_time_by_cluster if cluster else figures.in_time) / max(1, figures.due)


def _milliseconds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(list(LATENCY_TICKS_MS)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _plain(axes: Axes) -> None:
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
