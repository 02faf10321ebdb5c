"""What is wanted of our codec, and what it does: bytes at a loss with a share of the work, and bytes beside the rivals.

Owns the table of what is wanted. Pure functions of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cluster.comparison.rows import Row, cheapest, of_side

SHARE_MARGIN: Final = 0.03
"""Ours may do so much more on the device than the rival that it is compared with: no two cuts are equally deep."""
JPEG_SHARE: Final = 0.1
"""Of JPEG's bytes ours shall need at most so many."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """At most ``device_share`` of the work on the device, at most so many bytes, and at most ``drop`` of top-1 lost."""

    device_share: float
    bytes: float
    drop: float


WANTED: Final = (
    Wanted(0.30, 2500, 0.020),
    Wanted(0.30, 1300, 0.040),
    Wanted(0.60, 1000, 0.015),
    Wanted(0.60, 500, 0.030),
    Wanted(0.85, 250, 0.020),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of something wanted.

    ``fewest_bytes`` is the smallest option of ours that loses little enough, ``least_drop`` the one that loses least
    with few enough bytes; both keep to the device's share. ``deeper`` is as the first, with ``SHARE_MARGIN`` more work
    allowed on the device. Each is None where there is none.
    """

    wanted: Wanted
    fewest_bytes: Row | None
    least_drop: Row | None
    deeper: Row | None

    @property
    def met(self) -> bool:
        """Whether an option does all that is wanted."""
        return self.fewest_bytes is not None and self.fewest_bytes.bytes <= self.wanted.bytes


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """Judge our options."""
    return [_verdict(wanted, of_side(rows, "ours")) for wanted in WANTED]


def _verdict(wanted: Wanted, ours: Sequence[Row]) -> Verdict:
    there = [row for row in ours if row.figures.device_share <= wanted.device_share]
    small = [row for row in there if row.bytes <= wanted.bytes]
    return Verdict(
        wanted,
        fewest_bytes=cheapest(there, most_drop=wanted.drop),
        least_drop=min(small, key=lambda row: (row.drop, row.bytes), default=None),
        deeper=cheapest(ours, most_drop=wanted.drop, most_share=wanted.device_share + SHARE_MARGIN),
    )


@dataclass(frozen=True, slots=True)
class Duel:
    """A rival's option, and ours of the fewest bytes that loses no more; None where all of ours lose more."""

    rival: Row
    ours: Row | None

    @property
    def ratio(self) -> float | None:
        """Our bytes for one of the rival's."""
        return self.ours.bytes / self.rival.bytes if self.ours else None


def duels_with_codecs(rows: Sequence[Row]) -> list[Duel]:
    """Set every option of the papers' codecs and baselines against ours with about as much work on the device."""
    ours = of_side(rows, "ours")
    return [
        Duel(rival, cheapest(ours, most_drop=rival.drop, most_share=rival.figures.device_share + SHARE_MARGIN))
        for rival in of_side(rows, "paper", "baseline")
    ]


def duels_with_pictures(rows: Sequence[Row]) -> list[Duel]:
    """Set every way to send the frame itself against the best of ours, wherever it cuts."""
    ours = of_side(rows, "ours")
    return [Duel(rival, cheapest(ours, most_drop=rival.drop)) for rival in of_side(rows, "picture")]
