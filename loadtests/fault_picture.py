"""The picture of the faults: for each, how many frames cluster and devices answered before it and after, over time.

Owns the drawing; the figures are ``fault_run``'s.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtests.adapt_picture import COLOURS, DPI
from loadtests.fault_figures import BEFORE_S, WINDOW_S
from loadtests.fault_run import FaultRun
from loadtests.picture_file import written

COLUMNS: Final = 3
PANEL_INCHES: Final = (4.4, 1.7)
BIN_S: Final = 0.5
CLUSTER: Final = COLOURS[0]
DEVICE: Final = COLOURS[1]


def draw_faults(runs: Sequence[FaultRun], path: Path) -> Path:
    """Draw a panel for each fault, from a little before it until the end of what was watched.

    Raises:
        SettingError: the file cannot be written.
    """
    mpl.use("agg")
    columns = min(COLUMNS, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, run in zip(panels.flat, runs, strict=False):
        _draw(axes, run)
    for axes in list(panels.flat)[len(runs) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("frames/s", fontsize=7)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    return written(figure, path, dpi=DPI)


def _draw(axes: Axes, run: FaultRun) -> None:
    edges = np.arange(-BEFORE_S, run.watched_s - WINDOW_S + BIN_S, BIN_S)
    counts = {
        where: np.histogram([frame.due_s - run.struck_s for frame in run.frames if frame.where == where], edges)[0]
        for where in ("cluster", "device")
    }
    axes.stackplot(
        edges[:-1], counts["cluster"] / BIN_S, counts["device"] / BIN_S, colors=[CLUSTER, DEVICE],
        labels=["answered by the cluster", "answered by the device"], step="post", lw=0,
    )  # fmt: skip
    for number, (at_s, _) in enumerate(run.strikes):
        axes.axvline(at_s - run.struck_s, color="black", lw=1, ls="--", label="fault" if not number else None)
    full_s = run.figures.full_service_s
    if full_s is not None:
        back_s = run.strikes[-1][0] - run.struck_s + full_s
        axes.axvline(back_s, color=COLOURS[2], lw=1.2, label="full service")
    axes.set_title(run.name, loc="left", fontsize=8)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
