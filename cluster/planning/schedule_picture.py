"""The picture of schedules: two lanes a link, a box for each group where it runs, an arrow for each transfer.

Owns the drawing. matplotlib is imported when something is drawn; not every cluster has it.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

from cluster.evaluation.plot import new_figure, write_figure
from cluster.planning.cut_picture import CLUSTER, DEVICE, TITLE_LETTERS
from cluster.planning.plan_text import percent
from cluster.planning.schedule_plan import SchedulePlan
from cluster.planning.schedules import Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES: Final = 10.0
LINK_INCHES: Final = 0.95
MARGIN_INCHES: Final = 1.0
ELSEWHERE: Final = "#eeeeee"
_LANE: Final[dict[Side, int]] = {"device": 1, "cluster": 0}
_COLOUR: Final[dict[Side, str]] = {"device": DEVICE, "cluster": CLUSTER}
_HALF: Final = 0.34
"""Of the height of a box."""


def plot_schedules(
    plans: Sequence[SchedulePlan], boundaries: Sequence[str], sizes: Sequence[float], path: Path, *, title: str
) -> None:
    """Draw the schedule of each link over the groups, and write it as a PNG.

    ``boundaries`` (n + 1) names the tensors between the groups, and ``sizes`` (n + 1) has the bytes sent there.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure((WIDTH_INCHES, MARGIN_INCHES + LINK_INCHES * len(plans)))
    panels = figure.subplots(len(plans), 1, sharex=True, squeeze=False)[:, 0]
    for axes, plan in zip(panels, plans, strict=True):
        _draw(axes, plan, sizes)
    last = panels[-1]
    last.set_xticks(range(len(boundaries)), boundaries, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
    last.set_xlim(-0.6, len(boundaries) - 0.4)
    figure.suptitle(fill(title, int(TITLE_LETTERS * WIDTH_INCHES)), x=0.01, ha="left", fontsize=9)
    write_figure(figure, path, mend="give another --plot")


def _draw(axes: "Axes", plan: SchedulePlan, sizes: Sequence[float]) -> None:
    for segment in plan.schedule.segments:
        for group in range(segment.first, segment.last + 1):
            for side, lane in _LANE.items():
                colour = _COLOUR[side] if side == segment.side else ELSEWHERE
                axes.fill_between([group + 0.06, group + 0.94], lane - _HALF, lane + _HALF, color=colour, lw=0)
    for transfer in plan.schedule.transfers:
        to = _LANE[transfer.to]
        axes.annotate("", (transfer.boundary, to), (transfer.boundary, 1 - to), arrowprops={"arrowstyle": "-|>"})
        axes.annotate(f" {sizes[transfer.boundary]:,.0f} B", (transfer.boundary, 0.5), fontsize=7, va="center")
    axes.set_yticks(list(_LANE.values()), list(_LANE), fontsize=8)
    axes.set_ylim(-0.55, 1.55)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    costs = plan.schedule
    axes.set_title(
        f"{plan.link.name}: {costs.latency_s * 1e3:,.1f} ms, {costs.energy_j * 1e3:,.0f} mJ, "
        f"{percent(plan.workload_saved)} off the cluster",
        loc="left", fontsize=8,
    )  # fmt: skip
