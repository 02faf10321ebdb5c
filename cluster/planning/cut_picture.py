"""The picture of single cuts: a stacked bar for the best option of each point, a panel for each link.

Owns the drawing. matplotlib is imported when something is drawn; not every cluster has it.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

from cluster.evaluation.plot import COLOURS, new_figure, write_figure
from cluster.planning.cut_plan import CutPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES: Final = (3.6, 1.4)
BAR_INCHES: Final = 0.28
TITLE_LETTERS: Final = 13
"""In an inch of a picture's title."""
DEVICE, CLUSTER, LINK = COLOURS[1], COLOURS[0], COLOURS[2]


def plot_cuts(plans: Sequence[CutPlan], path: Path, *, title: str) -> None:
    """Draw what each point costs over each link, both ends beside them, and mark what was chosen; write it as a PNG.

    Bars are milliseconds of device, link and cluster, or, where energy is made least, millijoules of the device's
    computation and of its radio.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    width, height = PANEL_INCHES
    bars = max(len(plan.in_picture()) for plan in plans)
    figure = new_figure((width * len(plans), height + BAR_INCHES * bars))
    panels = figure.subplots(1, len(plans), squeeze=False)[0]
    for axes, plan in zip(panels, plans, strict=True):
        _draw(axes, plan)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    figure.suptitle(fill(title, int(TITLE_LETTERS * width * len(plans))), x=0.01, ha="left", fontsize=9)
    write_figure(figure, path, mend="give another --plot")


def _draw(axes: "Axes", plan: CutPlan) -> None:
    choices = plan.in_picture()
    energy = plan.request.objective == "energy"
    names = [f"{choice.option.point} {choice.option.rate}" for choice in choices]
    parts = [plan.parts_j(choice) if energy else plan.parts_s(choice) for choice in choices]
    kinds = (("device", DEVICE), ("radio" if energy else "link", LINK), ("cluster", CLUSTER))
    left = [0.0] * len(choices)
    for (kind, colour), amounts in zip(kinds, zip(*parts, strict=True), strict=False):
        wide = [amount * 1e3 for amount in amounts]
        axes.barh(names, wide, left=left, color=colour, label=kind)
        left = [total + own for total, own in zip(left, wide, strict=True)]
    for row, (choice, end) in enumerate(zip(choices, left, strict=True)):
        mark = " ◀" if choice.option == plan.chosen.option else ""
        axes.annotate(f" {end:.0f}{mark}", (end, row), va="center", fontsize=8, fontweight="bold" if mark else None)
    axes.invert_yaxis()
    axes.set_xlim(right=max(left) * 1.25 or 1.0)
    axes.set_title(plan.link.name, loc="left", fontsize=9)
    axes.set_xlabel("mJ of the device" if energy else "ms a frame", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
