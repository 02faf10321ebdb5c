"""What a cell says of one figure or one option, in tables and in sentences. Owns these texts."""

from typing import Final

from cluster.comparison.rows import Row
from cluster.comparison.wanted import Wanted

NONE: Final = "–"


def names(row: Row) -> tuple[str, str, str]:
    """Name an option by point, codec and rate."""
    return row.figures.point, row.figures.codec, row.figures.rate


def points(share: float) -> str:
    """Write a share as points of a hundred."""
    return f"{share * 100 + 0.0:.1f}".replace("-0.0", "0.0")


def change(drop: float) -> str:
    """Say what happens to top-1, in points: −2.0 where two are lost."""
    text = points(-drop).replace("-", "−")
    return text if drop > 0 or text == "0.0" else f"+{text}"


def fraction(share: float | None) -> str:
    """Write a share as one part of so many."""
    return NONE if share is None else f"1/{1 / share:.1f}"


def said(row: Row | None) -> str:
    """Say in a few words what an option does."""
    if row is None:
        return "none"
    figures = row.figures
    return f"{figures.point} {figures.rate}: {row.bytes:,.0f} B, {change(row.drop)}, {figures.device_share:.1%}"


def goal(wanted: Wanted) -> str:
    """Say in a few words what is wanted."""
    return f"work ≤ {wanted.device_share:.0%}: ≤ {wanted.bytes:,.0f} B at {change(wanted.drop)}"
