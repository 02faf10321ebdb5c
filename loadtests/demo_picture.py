"""The picture of a demo run: latency, chosen point, link and bytes over one time axis.

Owns the drawing; the figures are ``demo_report``'s.
"""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from loadtests.demo_report import option_of
from loadtests.demo_run import DemoRecord, Event

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""


def draw(record: DemoRecord, path: Path) -> None:
    """Draw a run and write it as a PNG."""
    mpl.use("agg")
    frames = sorted(record.frames(), key=lambda frame: frame["due_unix_s"])
    options = _in_order(frames)
    colours = dict(zip(options, COLOURS, strict=False))
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    latency, choice, link, sizes = figure.subplots(4, 1, sharex=True, height_ratios=(3, 2, 1.4, 1.8))
    for axes in (latency, choice, link, sizes):
        _shade_outages(axes, record)
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _latency(latency, frames, colours, record)
    _choice(choice, frames, options, colours, record)
    _link(link, record)
    _sizes(sizes, frames, colours, record)
    sizes.set_xlabel("seconds since the script began")
    figure.suptitle(
        f"{len(record.events)} agents, {len(frames)} frames: the cut moves with the link", x=0.01, ha="left"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _latency(axes: Axes, frames: list[Event], colours: dict[str, str], record: DemoRecord) -> None:
    for option, colour in colours.items():
        own = [frame for frame in frames if option_of(frame) == option]
        axes.plot(_times(own, record), [f["latency_ms"] for f in own], ".", ms=4, color=colour, label=option)
    alone = [frame for frame in frames if frame["fallback"]]
    axes.plot(_times(alone, record), [f["latency_ms"] for f in alone], "x", ms=5, color="black", label="finished alone")
    _plain_log_scale(axes)
    axes.set_ylabel("latency, ms")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=7, fontsize=8, frameon=False)


def _choice(axes: Axes, frames: list[Event], options: list[str], colours: dict[str, str], record: DemoRecord) -> None:
    for row, agent in enumerate(record.events):
        shift = (row - (len(record.events) - 1) / 2) * 0.25
        own = [frame for frame in frames if frame["agent"] == agent]
        heights = [options.index(option_of(frame)) + shift for frame in own]
        axes.scatter(_times(own, record), heights, s=6, c=[colours[option_of(frame)] for frame in own], marker="s")
    axes.set_yticks(range(len(options)), options, fontsize=8)
    axes.set_ylim(-0.6, len(options) - 0.4)
    axes.set_ylabel("answered at")


def _link(axes: Axes, record: DemoRecord) -> None:
    steps = record.script.steps
    times = [*(step.at_s for step in steps), record.seconds]
    rates = [step.state.rate_mbps or 0.0 for step in steps]
    axes.stairs(rates, times, color="#444444", lw=1.8)
    for step in steps:
        rate = step.state.rate_mbps
        axes.annotate("down" if rate is None else f"{rate:g}", (step.at_s, rate or 0.0), (3, 3),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set_ylim(0, max(rates) * 1.35)
    axes.set_ylabel("link, Mbit/s")


def _sizes(axes: Axes, frames: list[Event], colours: dict[str, str], record: DemoRecord) -> None:
    sent = [frame for frame in frames if frame["bytes"]]
    axes.scatter(_times(sent, record), [frame["bytes"] for frame in sent], s=5,
                 c=[colours[option_of(frame)] for frame in sent])  # fmt: skip
    _plain_log_scale(axes)
    axes.set_ylabel("bytes a frame")


def _plain_log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _shade_outages(axes: Axes, record: DemoRecord) -> None:
    steps = record.script.steps
    ends = [*(step.at_s for step in steps[1:]), record.seconds]
    for step, end in zip(steps, ends, strict=True):
        if step.state.rate_mbps is None:
            axes.axvspan(step.at_s, end, color="#d55e00", alpha=0.12, lw=0)


def _in_order(frames: list[Event]) -> list[str]:
    """Order the options from the input to the output."""
    return [name for _, name in sorted({(frame["option"], option_of(frame)) for frame in frames})]


def _times(frames: list[Event], record: DemoRecord) -> list[float]:
    return [frame["due_unix_s"] - record.began_unix_s for frame in frames]
