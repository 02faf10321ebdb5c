"""JALAD's tables II and III for our backbone: its speed-up over sending pictures, and where and how finely it cuts.

Owns the plans that the tables need, and their words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cluster.comparison.text_table import TextTable
from cluster.planning.cut_plan import INPUT
from cluster.planning.jalad import jalad
from cluster.planning.plan_text import NONE, drop, milli, times
from cluster.planning.single_cut import Choice, costs
from cluster.planning.tables import CutOption, CutTable, Link
from wire.errors import SettingError

BANDWIDTHS: Final = tuple(
    Link(name=name, uplink_bytes_s=rate, downlink_bytes_s=rate) for name, rate in (("1 MB/s", 1e6), ("300 KB/s", 3e5))
)
"""The paper's, without a radio: it looks at latency alone."""
BOUNDS: Final = (0.0, 0.01, 0.02, 0.05, 0.10)
"""Δα: the share of top-1 answers that may be lost."""
SPEEDUP_TITLE: Final = "JALAD, table II: speed-up over sending the frame as a picture"
SPEEDUP_NOTE: Final = (
    "As in the paper, over PNG and JPEG at 1 MB/s and 300 KB/s. Unlike it, of one small backbone on one device and one "
    "cluster, a row for each Δα (lost share of top-1), and JPEG of the coarsest quality that keeps to the same Δα."
)
POINTS_TITLE: Final = "JALAD, table III: the decoupling point and the bits c under Δα"
POINTS_NOTE: Final = (
    "Unlike the paper's, the choice is among four cuts of our backbone and the whole network on the device; c is that "
    "of the step quantiser, 1 to 8."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoupling:
    """What JALAD chooses over one link under one bound, and the pictures that it is compared with."""

    link: Link
    most_drop: float
    chosen: Choice
    png: Choice | None
    jpeg: Choice | None

    @property
    def bits(self) -> str:
        """The paper's c; none where the device does everything."""
        return self.chosen.option.rate.removeprefix("c") if self.chosen.option.codec == "jalad" else NONE

    def speed_up(self, over: Choice | None) -> float | None:
        """Give the latency of a picture for one of the choice."""
        return over.costs.latency_s / self.chosen.costs.latency_s if over else None


def decouplings(options: Sequence[CutOption], links: Sequence[Link] = BANDWIDTHS) -> list[Decoupling]:
    """Choose under every bound over every link, among the options of JALAD's codec and the whole network.

    Raises:
        SettingError: no option is of JALAD's codec.
    """
    own = [option for option in options if option.codec == "jalad"]
    if not own:
        raise SettingError(
            "there is no option of JALAD's codec",
            mend="isthmus bench codecs builds a bundle of them: --bundle runs/BACKBONE/comparison/bundles/calibrated-*",
        )
    whole = [option for option in options if not option.bytes][:1]
    table = CutTable((*own, *whole))
    pictures = [option for option in options if option.point == INPUT]
    return [
        Decoupling(
            link=link,
            most_drop=bound,
            chosen=jalad(table, link, most_drop=bound),
            png=_priced(next((option for option in pictures if option.codec == "png"), None), link),
            jpeg=_priced(_coarsest_jpeg(pictures, bound), link),
        )
        for link in links
        for bound in BOUNDS
    ]


def speedup_table(found: Sequence[Decoupling]) -> TextTable:
    """Give table II."""
    rows = tuple(
        (
            each.link.name, f"{each.most_drop:.0%}", milli(each.chosen.costs.latency_s), *_against(each, each.png),
            each.jpeg.option.rate if each.jpeg else NONE, *_against(each, each.jpeg),
        )
        for each in found
    )  # fmt: skip
    headings = ("bandwidth", "Δα", "JALAD ms", "PNG ms", "speed-up", "JPEG", "JPEG ms", "speed-up")
    return TextTable(SPEEDUP_TITLE, headings, rows, texts=2)


def points_table(found: Sequence[Decoupling]) -> TextTable:
    """Give table III."""
    rows = tuple(
        (
            each.link.name, f"{each.most_drop:.0%}", each.chosen.option.point, each.bits,
            f"{each.chosen.option.bytes:,.0f}", drop(each.chosen.option.drop),
        )
        for each in found
    )  # fmt: skip
    return TextTable(POINTS_TITLE, ("bandwidth", "Δα", "point", "c", "bytes", "points lost"), rows, texts=3)


def decoupling_record(found: Sequence[Decoupling]) -> list[dict[str, Any]]:
    """Give the same as plain values."""
    return [
        {
            "link": each.link.name, "most_drop": each.most_drop, "option": each.chosen.option.name,
            "bytes": each.chosen.option.bytes, "drop": each.chosen.option.drop,
            "latency_s": each.chosen.costs.latency_s, "over_png": each.speed_up(each.png),
            "jpeg": each.jpeg.option.rate if each.jpeg else None, "over_jpeg": each.speed_up(each.jpeg),
        }
        for each in found
    ]  # fmt: skip


def _coarsest_jpeg(pictures: Sequence[CutOption], most_drop: float) -> CutOption | None:
    within = [option for option in pictures if option.codec == "jpeg" and option.drop <= most_drop]
    return min(within, key=lambda option: option.bytes, default=None)


def _priced(option: CutOption | None, link: Link) -> Choice | None:
    return Choice(option, costs(option, link)) if option else None


def _against(each: Decoupling, picture: Choice | None) -> tuple[str, str]:
    return (milli(picture.costs.latency_s), times(each.speed_up(picture))) if picture else (NONE, NONE)
