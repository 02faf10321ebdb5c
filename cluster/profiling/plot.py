"""The picture of a grouped profile: seconds of every range as a heat map, bytes at every boundary as bars.

Owns the drawing. matplotlib is imported when something is drawn; not every cluster has it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cluster.evaluation.plot import COLOURS, new_figure, write_figure
from cluster.profiling.group_profile import GroupProfile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_INCHES: Final = (9, 10)
HEIGHTS: Final = (3, 1)


def plot_groups(profile: GroupProfile, path: Path) -> None:
    """Draw the forward seconds of groups i to j, and the bytes of the tensor at each boundary, and write a PNG.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure(SIZE_INCHES)
    times, sizes = figure.subplots(2, 1, height_ratios=HEIGHTS)
    _draw_times(figure, times, profile)
    _draw_sizes(sizes, profile)
    write_figure(figure, path, mend="give another --plot")


def _draw_times(figure: "Figure", axes: "Axes", profile: GroupProfile) -> None:
    below = np.tri(profile.groups, k=-1, dtype=bool)
    times_ms = np.where(below, np.nan, np.array(profile.seconds) * 1e3)
    drawn = axes.imshow(times_ms, cmap="viridis", aspect="auto")
    figure.colorbar(drawn, ax=axes, label="milliseconds, executed as one")
    axes.set_xticks(range(profile.groups), profile.boundaries[1:], rotation=90, fontsize=7)
    axes.set_yticks(range(profile.groups), profile.boundaries[:-1], fontsize=7)
    axes.set_xlabel("up to this boundary")
    axes.set_ylabel("from this boundary")
    axes.set_title(
        f"{profile.backbone} on {profile.machine}: as one {profile.whole_s * 1e3:.1f} ms, "
        f"{profile.grouped_share:.2f} of its groups' sum",
        loc="left", fontsize=10,
    )  # fmt: skip


def _draw_sizes(axes: "Axes", profile: GroupProfile) -> None:
    axes.bar(range(len(profile.boundaries)), [size / 1e3 for size in profile.tensor_bytes], color=COLOURS[0])
    axes.set_yscale("log")
    axes.set_xticks(range(len(profile.boundaries)), profile.boundaries, rotation=90, fontsize=7)
    axes.set_ylabel("tensor, kB")
    axes.grid(visible=True, axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
