"""The plot of accuracy against bytes: a curve for every point and codec, and the unsplit backbone as a line.

Owns the drawing. matplotlib is imported when something is drawn; not every cluster has it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.evaluation.evaluation import Evaluation
from cluster.evaluation.option_figures import OptionFigures
from wire.errors import SettingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31", "#666666")
"""Okabe and Ito's palette, which the colour-blind can tell apart; a colour is a point."""
MARKERS: Final = "os^Dv<>pP*X"
"""A marker is a codec."""
LINES: Final = ("-", "--", ":", "-.")
"""Another line for points that have come round to a colour again."""
LEGEND_ROWS: Final = 32
SIZE_INCHES: Final = (10, 6)
DPI: Final = 110


def require_matplotlib() -> None:
    """Refuse a plot before anything is computed for it.

    Raises:
        SettingError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise SettingError(
            "a plot needs matplotlib, which is not installed", mend="pip install 'isthmus[loadtests]'"
        ) from error


def plot_accuracy(figures: Evaluation | Sequence[OptionFigures], path: Path, *, title: str | None = None) -> None:
    """Draw top-1 against the mean bytes of a frame, on a logarithmic scale, and write it as a PNG.

    The options may be of several bundles. Those that send nothing are no points of a curve. A curve joins the best of
    its options; the others, that are worse for more bytes, stand beside it.

    Raises:
        SettingError: matplotlib is not installed, or the file cannot be written.
    """
    figure = new_figure(SIZE_INCHES)
    if isinstance(figures, Evaluation):
        title = title or f"{figures.backbone}, {figures.pictures} pictures of {figures.dataset}"
        figures = figures.options
    axes = figure.subplots()
    _draw_curves(axes, figures)
    _draw_unsplit(axes, figures)
    scale_bytes(axes)
    axes.set_ylabel("top-1, %")
    columns = -(-len(axes.get_legend_handles_labels()[0]) // LEGEND_ROWS)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, ncols=max(1, columns))
    if title:
        axes.set_title(title, loc="left", fontsize=11)
    write_figure(figure, path, mend="give another --plot")


def new_figure(size_inches: tuple[float, float]) -> "Figure":
    """Begin a figure that needs no screen.

    Raises:
        SettingError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.use("agg")
    return Figure(figsize=size_inches, layout="constrained")


def scale_bytes(axes: "Axes", *, ticks: tuple[float, ...] = (1.0, 2.0, 5.0)) -> None:
    """Lay bytes along the x axis, on a logarithmic scale with so many ticks a decade."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bytes a frame, with all headers")
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(figure: "Figure", path: Path, *, mend: str) -> None:
    """Write a figure as a PNG.

    Raises:
        SettingError: the file cannot be written; ``mend`` says what to do then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, format="png")
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error}", mend=mend) from error


def best_of(options: Sequence[OptionFigures]) -> list[OptionFigures]:
    """Give the options that no other one beats with as many bytes or fewer, the smallest first."""
    best: list[OptionFigures] = []
    for option in sorted(options, key=lambda each: (each.bytes_mean, -each.top1)):
        if not best or option.top1 > best[-1].top1:
            best.append(option)
    return best


def _draw_curves(axes: "Axes", figures: Sequence[OptionFigures]) -> None:
    sent = [option for option in figures if option.bytes_mean > 0]
    points = list(dict.fromkeys(option.point for option in sent))
    codecs = list(dict.fromkeys(option.codec for option in sent))
    for curve in dict.fromkeys(option.curve for option in sent):
        own = [option for option in sent if option.curve == curve]
        best = best_of(own)
        rest = [option for option in own if option not in best]
        point = points.index(own[0].point)
        colour, marker = COLOURS[point % len(COLOURS)], MARKERS[codecs.index(own[0].codec) % len(MARKERS)]
        line = LINES[point // len(COLOURS) % len(LINES)]
        axes.plot(*_places(best), color=colour, marker=marker, ms=6, ls=line, lw=1.6, label=curve)
        axes.plot(*_places(rest), color=colour, marker=marker, ms=5, lw=0, alpha=0.4)


def _draw_unsplit(axes: "Axes", figures: Sequence[OptionFigures]) -> None:
    for number, level in enumerate(sorted({round(option.top1 + option.top1_drop, 6) for option in figures})):
        label = None if number else "unsplit"
        axes.axhline(level * 100, color="#222222", ls="--", lw=1, label=label, zorder=1)


def _places(options: Sequence[OptionFigures]) -> tuple[list[float], list[float]]:
    return [option.bytes_mean for option in options], [option.top1 * 100 for option in options]
