"""What each paper claims of its codec, asked in its own terms of the codec as it is here.

Owns what is divided by what. Pure functions of rows and of counted zeros.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from cluster.comparison.members import OURS
from cluster.comparison.rows import Row, cheapest, of_codec, of_side
from cluster.comparison.zero_rate import ZeroRate

FLOAT_BYTES: Final = 4
BOTTLENET_DROP: Final = 0.02
"""BottleNet compares at a loss of at most two points."""
DEEPCOD_TABLE: Final = {
    "offload": "Offload",
    "offload-interpolation": "Offload-Intp",
    "offload-compressive": "Offload-CS",
    "offload-lossy": "Offload-Lossy",
    "offload-autoencoder": "Offload-AE",
    "deepcod": "DeepCOD",
}
"""Our names of the codecs in table 1 of DeepCOD, and the paper's."""


@dataclass(frozen=True, slots=True)
class JaladEntry:
    """JALAD's A(c) and S(c) at one point (its figures 3, 4 and 6), for ``bits`` = c."""

    bits: int
    row: Row
    frame_bytes: int
    """Of the frame's pixels, as they are."""
    png_bytes: float | None
    """Of the frame as PNG, the paper's input."""

    @property
    def of_features(self) -> float:
        """Its bytes for one of the feature map in float32."""
        return self.row.bytes / (FLOAT_BYTES * prod(self.row.figures.symbols))

    @property
    def of_frame(self) -> float:
        """Its bytes for one of the frame's pixels."""
        return self.row.bytes / self.frame_bytes

    @property
    def of_png(self) -> float | None:
        """Its bytes for one of the frame as PNG."""
        return self.row.bytes / self.png_bytes if self.png_bytes else None


def jalad_entries(rows: Sequence[Row]) -> list[JaladEntry]:
    """Give JALAD's tables, in the order of the rows; none without the frame's own pixels to compare with."""
    pixels, png = of_codec(rows, "raw", "input"), of_codec(rows, "png", "input")
    if not pixels:
        return []
    frame_bytes = prod(pixels[0].figures.symbols)
    png_bytes = png[0].bytes if png else None
    return [
        JaladEntry(int(row.figures.rate[1:]), row, frame_bytes, png_bytes)
        for row in of_codec(rows, "jalad")
        if re.fullmatch(r"c\d", row.figures.rate)
    ]


@dataclass(frozen=True, slots=True)
class PngEntry:
    """JointDNN's PNG at one point (its figure 14), and the zeros that were counted there."""

    row: Row
    zeros: ZeroRate | None

    @property
    def symbol_bytes(self) -> int:
        """Of the 8-bit feature map, as it is."""
        return prod(self.row.figures.symbols)

    @property
    def ratio(self) -> float:
        """PNG's bytes for one of the 8-bit feature map."""
        return self.row.bytes / self.symbol_bytes


def png_entries(rows: Sequence[Row], zeros: Iterable[ZeroRate]) -> list[PngEntry]:
    """Give JointDNN's ratio at every point, the shallowest first."""
    by_point = {each.point: each for each in zeros}
    found = sorted(of_codec(rows, "jointdnn"), key=lambda row: row.figures.device_share)
    return [PngEntry(row, by_point.get(row.figures.point)) for row in found]


@dataclass(frozen=True, slots=True)
class Saving:
    """The smallest option of a curve that loses at most two points, or the one that loses least; and JPEG's."""

    row: Row
    within: bool
    """Whether it loses no more than that."""
    jpeg: Row

    @property
    def times(self) -> float:
        """JPEG's bytes for one of its own."""
        return self.jpeg.bytes / self.row.bytes


def savings(rows: Sequence[Row]) -> list[Saving]:
    """Set BottleNet's curves and ours against the smallest JPEG that loses at most two points of top-1.

    Empty where no JPEG loses so little.
    """
    jpeg = cheapest(of_codec(rows, "jpeg", "input"), most_drop=BOTTLENET_DROP)
    if jpeg is None:
        return []
    found = []
    curves = dict.fromkeys(row.figures.curve for row in of_side(rows, "ours", "paper"))
    for curve in curves:
        own = [row for row in rows if row.figures.curve == curve and row.figures.codec in (OURS, "bottlenet")]
        if own:
            best = cheapest(own, most_drop=BOTTLENET_DROP)
            found.append(Saving(best or min(own, key=lambda row: row.drop), best is not None, jpeg))
    return sorted(found, key=lambda saving: saving.row.figures.device_share)


@dataclass(frozen=True, slots=True)
class Awareness:
    """BottleNet trained through JPEG and without it, both sent as JPEG of one quality (its figure 7)."""

    quality: int
    aware: Row
    naive: Row

    @property
    def gain(self) -> float:
        """Top-1 that training through JPEG wins, as a share."""
        return self.naive.drop - self.aware.drop


def awareness(rows: Sequence[Row]) -> list[Awareness]:
    """Pair the codecs that were trained in both ways."""
    found: list[Awareness] = []
    bottlenet = of_codec(rows, "bottlenet")
    for row in bottlenet:
        match = re.fullmatch(r"(.+)-q(\d+)-jpeg-q\2", row.figures.rate)
        naive = f"{match[1]}-jpeg-q{match[2]}" if match else None
        twins = [
            other for other in bottlenet if (other.figures.point, other.figures.rate) == (row.figures.point, naive)
        ]
        found.extend(Awareness(int(match[2]), row, twin) for twin in twins if match)
    return found


@dataclass(frozen=True, slots=True)
class DeepCodEntry:
    """A line of DeepCOD's table 1; without a row, what is missing."""

    name: str
    row: Row | None


def deepcod_entries(rows: Sequence[Row]) -> list[DeepCodEntry]:
    """Give the table at the point where the baselines were calibrated, in the paper's order, and ours behind it.

    A codec that was trained elsewhere stands in it with its own point.
    """
    point = next((row.figures.point for row in of_codec(rows, "offload")), None)
    found: list[DeepCodEntry] = []
    for codec, name in (DEEPCOD_TABLE | {OURS: "Isthmus"}).items():
        own = of_codec(rows, codec, point) or of_codec(rows, codec)
        found.extend(DeepCodEntry(name, row) for row in own)
        if not own:
            found.append(DeepCodEntry(name, None))
    return found
