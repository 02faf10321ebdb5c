"""The plots of docs/codecs.md: accuracy against bytes, a panel for each depth of cut, and one with the baselines.

Owns the drawing. matplotlib is imported when something is drawn.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.comparison.members import OURS
from cluster.comparison.rows import Row, of_side
from cluster.evaluation.plot import best_of, new_figure, scale_bytes, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES: Final = (4.2, 4.4)
SINGLE_INCHES: Final = (8.6, 5.2)
SHOWN_DROP: Final = 0.35
"""What loses more is left out of the panels, so that the rest can be told apart."""
LEGEND_COLUMNS: Final = {1: 5}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    OURS: {"color": "#0072b2", "marker": "o", "lw": 2.6, "ms": 7, "zorder": 5},
    "bottlenet": {"color": "#d55e00", "marker": "s"},
    "deepcod": {"color": "#009e73", "marker": "^"},
    "jalad": {"color": "#cc79a7", "marker": "D"},
    "jointdnn": {"color": "#8c6d31", "marker": "v"},
    "jpeg": {"color": "#888888", "marker": ".", "ls": "-."},
    "webp": {"color": "#444444", "marker": ".", "ls": ":"},
    "png": {"color": "#888888", "marker": "x"},
    "raw": {"color": "#444444", "marker": "+"},
    "offload": {"color": "#000000", "marker": "X"},
    "offload-interpolation": {"color": "#56b4e9", "marker": "<"},
    "offload-lossy": {"color": "#e69f00", "marker": ">"},
    "offload-compressive": {"color": "#b03060", "marker": "P"},
    "offload-autoencoder": {"color": "#5a8a00", "marker": "*"},
}
"""Okabe and Ito's palette where it reaches; a colour and a marker are a codec."""


def plot_papers(rows: Sequence[Row], path: Path) -> None:
    """Draw ours and the papers' codecs, each in the panel of our cut that is nearest to its own, with JPEG and WebP.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    figure, panels = _figure(list(_shares(rows)))
    # JointDNN behind an activation, at none of our cuts, is for its zeros.
    compared = [
        row
        for row in of_side(rows, "ours", "paper")
        if row.figures.codec != "jointdnn" or row.figures.point in _shares(rows)
    ]
    pictures = [row for row in of_side(rows, "picture") if row.figures.codec in ("jpeg", "webp")]
    for axes, (point, share) in zip(panels, _shares(rows).items(), strict=True):
        own = [row for row in compared if _nearest(rows, row) == point]
        _draw(axes, [*own, *pictures], home=point)
        _draw_unsplit(axes, rows)
        axes.set_title(f"cut at {point}: {share:.0%} of the work", loc="left", fontsize=10)
    panels[0].set_ylabel("top-1, %")
    panels[0].set_ylim(bottom=max(0.0, of_side(rows, "unsplit")[0].figures.top1 - SHOWN_DROP) * 100)
    _finish(figure, panels, path)


def plot_baselines(rows: Sequence[Row], path: Path) -> None:
    """Draw every codec at our first cut, with DeepCOD's baselines.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    point = next(iter(_shares(rows)))
    figure, panels = _figure([point])
    _draw(panels[0], [row for row in rows if row.figures.point == point], home=point)
    _draw_unsplit(panels[0], rows)
    panels[0].set_title(f"cut at {point}: the papers' codecs and baselines", loc="left", fontsize=10)
    panels[0].set_ylabel("top-1, %")
    _finish(figure, panels, path)


def _shares(rows: Iterable[Row]) -> dict[str, float]:
    """Give the points of ours, the shallowest first, with the device's share of the work."""
    ours = sorted(of_side(rows, "ours"), key=lambda row: row.figures.device_share)
    return {row.figures.point: row.figures.device_share for row in ours}


def _nearest(rows: Sequence[Row], row: Row) -> str:
    shares = _shares(rows)
    if row.figures.point in shares:
        return row.figures.point
    return min(shares, key=lambda point: abs(shares[point] - row.figures.device_share))


def _figure(points: Sequence[str]) -> "tuple[Figure, list[Axes]]":
    width, height = PANEL_INCHES
    figure = new_figure(SINGLE_INCHES if len(points) == 1 else (width * len(points), height))
    panels = figure.subplots(1, len(points), sharey=True, squeeze=False)
    return figure, list(panels[0])


def _draw(axes: "Axes", rows: Sequence[Row], *, home: str) -> None:
    for point, codec in dict.fromkeys((row.figures.point, row.figures.codec) for row in rows):
        own = [row for row in rows if (row.figures.point, row.figures.codec) == (point, codec)]
        best = best_of([row.figures for row in own])
        rest = [row.figures for row in own if row.figures not in best]
        style: dict[str, Any] = {"ms": 5, "lw": 1.5, "ls": "-"} | _STYLES.get(
            codec, {"color": "#000000", "marker": "."}
        )
        axes.plot([one.bytes_mean for one in best], [one.top1 * 100 for one in best], label=codec, **style)
        faint = style | {"lw": 0, "alpha": 0.35}
        axes.plot([one.bytes_mean for one in rest], [one.top1 * 100 for one in rest], **faint)
        if point not in (home, "input"):
            first = best[0]
            axes.annotate(point, (first.bytes_mean, first.top1 * 100), xytext=(-4, -13), textcoords="offset points",
                          fontsize=7, color=style["color"])  # fmt: skip


def _draw_unsplit(axes: "Axes", rows: Sequence[Row]) -> None:
    unsplit = of_side(rows, "unsplit")[0]
    axes.axhline(unsplit.figures.top1 * 100, color="#222222", ls="--", lw=1, label="unsplit", zorder=1)


def _finish(figure: "Figure", panels: "Sequence[Axes]", path: Path) -> None:
    labels: dict[str, Any] = {}
    for axes in panels:
        scale_bytes(axes, ticks=(1.0, 3.0) if len(panels) > 1 else (1.0, 2.0, 5.0))
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    columns = LEGEND_COLUMNS.get(len(panels), 8)
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    write_figure(figure, path, mend="run this where docs/ is")
