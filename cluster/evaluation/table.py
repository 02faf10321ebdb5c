"""The table of an evaluation, as people read it. Owns its columns."""

from collections.abc import Callable
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cluster.evaluation.evaluation import Evaluation
from cluster.evaluation.option_figures import OptionFigures

_TEXTS: Final[dict[str, Callable[[OptionFigures], str]]] = {
    "point": lambda figures: figures.point,
    "codec": lambda figures: figures.codec,
    "rate": lambda figures: figures.rate,
    "symbols": lambda figures: "×".join(map(str, figures.symbols)) if figures.bytes_mean else "",
}
_NUMBERS: Final[dict[str, Callable[[OptionFigures], str]]] = {
    "bytes": lambda figures: f"{figures.bytes_mean:,.0f}",
    "p95": lambda figures: f"{figures.bytes_p95:,.0f}",
    "work": lambda figures: f"{figures.device_share:.0%}",
    "top-1": lambda figures: f"{figures.top1:.1%}",
    "drop": lambda figures: f"{figures.top1_drop * 100:.1f}",
    "top-5": lambda figures: f"{figures.top5:.1%}",
    "drop ": lambda figures: f"{figures.top5_drop * 100:.1f}",
    "agrees": lambda figures: f"{figures.agreement:.1%}",
    "device": lambda figures: f"{figures.device_ms:.1f}",
    "encode": lambda figures: f"{figures.encode_ms:.2f}",
    "decode": lambda figures: f"{figures.decode_ms:.2f}",
    "cluster": lambda figures: f"{figures.cluster_ms:.1f}",
}


def evaluation_table(evaluation: Evaluation) -> Table:
    """Lay the options of an evaluation out in rows, in their order; ``evaluation_note`` says what the columns are."""
    table = Table(title=f"{evaluation.backbone}  {evaluation.digest}", title_justify="left", box=SIMPLE_HEAD,
                  padding=(0, 1, 0, 0))  # fmt: skip
    for heading in _TEXTS:
        table.add_column(heading, no_wrap=True)
    for heading in _NUMBERS:
        table.add_column(heading, justify="right", no_wrap=True)
    columns = (*_TEXTS.values(), *_NUMBERS.values())
    for figures in evaluation.options:
        table.add_row(*(text(figures) for text in columns))
    return table


def evaluation_note(evaluation: Evaluation) -> str:
    """Say in two sentences what the table is of."""
    return (
        f"unsplit: {evaluation.baseline_top1:.1%} top-1, {evaluation.baseline_top5:.1%} top-5, on "
        f"{evaluation.pictures} pictures of {evaluation.dataset}; drops in points. Bytes are those of whole bitstreams "
        "with their headers; work is the device's share of the backbone's multiply-accumulates; device (head and "
        "encoder), encode, decode (the coder alone) and cluster (decoder and tail) are medians in milliseconds for one "
        "frame on this machine."
    )
