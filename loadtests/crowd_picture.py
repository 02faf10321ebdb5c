"""The picture of a crowd: its offered load over time at each point, with our damping above and without it below.

Owns the drawing; the figures are ``crowd_outcome``'s.
"""

import itertools
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.adapt_picture import COLOURS, DPI
from loadtests.crowd_outcome import CALM, RESTLESS, CrowdOutcome, CrowdPlayed
from loadtests.crowd_simulation import Crowd
from loadtests.picture_file import written

PANEL_INCHES: Final = (5.6, 2.5)
SHADE: Final = "#bbbbbb"
"""The darker, the more the others ask for."""


def draw_crowd(outcome: CrowdOutcome, path: Path) -> Path:
    """Draw virtual runs on the left and real ones on the right, the steps of the others' load shaded.

    Raises:
        SettingError: the file cannot be written.
    """
    mpl.use("agg")
    columns = len(outcome.played)
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * 2), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False, sharex="col", sharey="col")
    for column, (name, played) in enumerate(outcome.played.items()):
        for axes, way in zip(panels[:, column], (CALM, RESTLESS), strict=True):
            _draw(axes, played, way)
            axes.set_title(f"{played.crowd.agents} agents, {name}: {way}", loc="left", fontsize=9)
        panels[1, column].set_xlabel("seconds", fontsize=8)
    for axes in panels[:, 0]:
        axes.set_ylabel("seconds of service asked, a second", fontsize=7)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    return written(figure, path, dpi=DPI)


def _draw(axes: Axes, played: CrowdPlayed, way: str) -> None:
    samples = played.samples[way]
    _shade(axes, played.crowd)
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(samples.points))]
    axes.stackplot(samples.times_s, samples.offered.T, labels=samples.points, colors=colours, lw=0, step="pre")
    axes.set_xlim(0, played.crowd.seconds)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _shade(axes: Axes, crowd: Crowd) -> None:
    most = max(step.background_share for step in crowd.steps)
    ends_s = itertools.accumulate(step.seconds for step in crowd.steps)
    for step, end_s in zip(crowd.steps, ends_s, strict=True):
        if step.background_share:
            depth = 0.6 * step.background_share / most
            axes.axvspan(end_s - step.seconds, end_s, color=SHADE, alpha=depth, lw=0)
            axes.text(
                end_s - step.seconds / 2, 0.98, f"others {step.background_share:.0%}", fontsize=7, ha="center",
                va="top", transform=axes.get_xaxis_transform(),
            )  # fmt: skip
