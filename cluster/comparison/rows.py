"""The rows of the comparison: one option each, and whose it is.

Owns the record, and the words for who is compared with whom. Runs nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from cluster.comparison.members import OURS, PAPERS
from cluster.evaluation.option_figures import OptionFigures

Side = Literal["ours", "paper", "baseline", "picture", "unsplit"]

_EQUAL: Final = 1e-9
"""Drops are shares of whole pictures; two that differ by less are one."""


@dataclass(frozen=True, slots=True)
class Row:
    """One option, measured on so many pictures; shares and drops lie between -1 and 1, drops are of top-1."""

    side: Side
    pictures: int
    figures: OptionFigures

    @property
    def name(self) -> str:
        """Point, codec and rate."""
        return f"{self.figures.point} {self.figures.codec} {self.figures.rate}"

    @property
    def bytes(self) -> float:
        """The mean of a frame, with all headers."""
        return self.figures.bytes_mean

    @property
    def drop(self) -> float:
        """Top-1 lost against the unsplit backbone."""
        return self.figures.top1_drop

    def loses_at_most(self, drop: float) -> bool:
        """Tell whether it loses no more than a share of top-1."""
        return self.drop <= drop + _EQUAL

    def plain(self) -> dict[str, Any]:
        """Give the row as plain values."""
        return {"side": self.side, "pictures": self.pictures, **asdict(self.figures)}


def side_of(figures: OptionFigures) -> Side:
    """Tell whose option it is."""
    if figures.coder == "none":
        return "unsplit"
    if figures.point == "input":
        return "picture"
    if figures.codec == OURS:
        return "ours"
    return "paper" if figures.codec in PAPERS else "baseline"


def of_side(rows: Iterable[Row], *sides: Side) -> list[Row]:
    """Choose rows by whose they are."""
    return [row for row in rows if row.side in sides]


def of_codec(rows: Iterable[Row], codec: str, point: str | None = None) -> list[Row]:
    """Choose rows by codec, and by point if one is given."""
    return [row for row in rows if row.figures.codec == codec and point in (None, row.figures.point)]


def cheapest(rows: Sequence[Row], *, most_drop: float, most_share: float | None = None) -> Row | None:
    """Give the row of the fewest bytes that loses at most ``most_drop``, with at most ``most_share`` on the device."""
    fitting = [
        row
        for row in rows
        if row.loses_at_most(most_drop) and (most_share is None or row.figures.device_share <= most_share + _EQUAL)
    ]
    return min(fitting, key=lambda row: row.bytes, default=None)
