"""The planners' tables, made of what was measured: a bundle's options, or groups of layers, with seconds.

Owns what of a measurement goes into which column. Measures nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cluster.planning.machines import Machines
from cluster.planning.tables import BackwardTable, CutOption, CutTable, GroupTable, Square
from cluster.profiling.group_profile import GroupProfile
from wire.errors import SettingError
from wire.ids import OptionId, PointName
from wire.manifest import Option

FLOAT_BYTES: Final = 4
PNG_RATIO: Final = 0.74
"""PNG's bytes for one byte of an 8-bit feature map: the median of five cuts of Lite0, which go from 0.70 to 0.77
(docs/codecs.md, JointDNN: PNG and zeros)."""
FrameCoding = Literal["jpeg", "png", "pixels"]
"""How the frame itself is sent: as JPEG of quality 75, as PNG, or as it is."""
FRAME_RATIOS: Final[dict[FrameCoding, float]] = {"jpeg": 10_816 / 150_528, "png": 87_642 / 150_528, "pixels": 1.0}
"""Bytes for one byte of its pixels: the means of 1000 photographs of 224 × 224 (README.md and docs/codecs.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCoding:
    """How a tensor between two groups is sent: in fixed point, as a lossless PNG, as JointDNN does."""

    bits: int = 8
    """Of one value."""
    ratio: float = PNG_RATIO
    """PNG's bytes for one byte of these values."""
    frame: FrameCoding = "jpeg"

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= 32 and 0 < self.ratio < float("inf")):
            raise SettingError(
                f"{self.bits} bits a value, {self.ratio} of them sent, make no tensor",
                mend="give 1 to 32 bits, and a ratio above 0",
            )

    def sizes(self, profile: GroupProfile) -> tuple[float, ...]:
        """Give the (n + 1) bytes sent at each boundary."""
        frame, *tensors = profile.tensor_bytes
        share = self.bits / 8 * self.ratio / FLOAT_BYTES
        return (frame * FRAME_RATIOS[self.frame], *(size * share for size in tensors))

    def said(self) -> str:
        """Say in a line what is sent."""
        frame = f"the frame as {self.frame} ({FRAME_RATIOS[self.frame]:.3f} of its pixels' bytes)"
        return f"tensors as PNG of {self.bits}-bit values ({self.ratio:.2f} of their bytes), {frame}"


def cut_table(
    options: Iterable[Option],
    device_s: Mapping[OptionId, float],
    cluster_s: Mapping[OptionId, float],
    machines: Machines,
) -> CutTable:
    """Make the table of a bundle's options, for the planners of a single cut.

    ``device_s`` are the measured seconds of head, encoder and coder, or of the whole network; ``cluster_s`` those of
    decoding one message and of decoder and tail. Of an option with several looks the bytes are those of all, and the
    cluster works for each; what the device adds to encode the further ones is not counted. The share of the cluster is
    of multiply-accumulates.

    Raises:
        SettingError: there is no option, or one of them was not measured.
    """
    options = tuple(options)
    whole_macs = max((option.macs.head + option.macs.tail for option in options), default=0) or 1
    return CutTable(
        tuple(
            _cut_option(
                option,
                machines,
                device_s=_found(option, device_s),
                cluster_s=0.0 if option.coder == "none" else _found(option, cluster_s) * option.measured.looks_mean,
                cluster_share=(option.macs.decoder + option.macs.tail) / whole_macs,
            )
            for option in options
        )
    )


def _found(option: Option, seconds: Mapping[OptionId, float]) -> float:
    if option.id not in seconds:
        raise SettingError(
            f"the profile has no seconds of option {option.id} ({option.point}/{option.codec}/{option.rate})",
            mend="profile this bundle again: isthmus profile --help",
        )
    return seconds[option.id]


def _cut_option(
    option: Option, machines: Machines, *, device_s: float, cluster_s: float, cluster_share: float
) -> CutOption:
    figures = option.measured
    if not figures.pictures:
        raise SettingError(
            f"nobody knows what option {option.point}/{option.codec}/{option.rate} loses",
            mend="build the bundle with measured options: isthmus bundle build --measure",
        )
    return CutOption(
        point=option.point,
        codec=option.codec,
        rate=option.rate,
        device_s=machines.device_s(device_s),
        cluster_s=machines.cluster_s(cluster_s),
        bytes=figures.bytes_mean,
        device_energy_j=machines.device_j(device_s),
        drop=figures.top1_drop,
        cluster_share=cluster_share,
    )


def feature_table(profile: GroupProfile, machines: Machines, coding: TensorCoding) -> CutTable:
    """Make Neurosurgeon's table of a profile of groups: one option a boundary, the features as they are.

    They are sent in float32, and the frame as ``coding`` has it. Nothing is lost; what the cluster is left with is of
    seconds.
    """
    seconds = in_parts(profile.seconds)
    last = len(seconds) - 1
    whole_s = seconds[0][last] or 1.0
    sizes = (coding.sizes(profile)[0], *profile.tensor_bytes[1:last + 1], 0)  # fmt: skip
    options = []
    for boundary, (name, size) in enumerate(zip(profile.boundaries, sizes, strict=True)):
        device_s = seconds[0][boundary - 1] if boundary else 0.0
        cluster_s = seconds[boundary][last] if boundary <= last else 0.0
        options.append(
            CutOption(
                point=PointName(name),
                rate="float32" if size and boundary else "frame" if size else "whole",
                device_s=machines.device_s(device_s),
                cluster_s=machines.cluster_s(cluster_s),
                bytes=size,
                device_energy_j=machines.device_j(device_s),
                cluster_share=cluster_s / whole_s,
            )
        )
    return CutTable(tuple(options))


def group_table(profile: GroupProfile, machines: Machines, coding: TensorCoding) -> GroupTable:
    """Make JointDNN's table of a profile of groups; a tensor has as many bytes one way as the other.

    Groups that took longer together than in parts are taken in parts, which they may always be executed in. It is most
    often the measurement's noise, and would else look like work that a schedule takes off the cluster.
    """
    sizes = coding.sizes(profile)
    seconds = in_parts(profile.seconds)
    return GroupTable(
        device_s=_each(seconds, machines.device_s),
        cluster_s=_each(seconds, machines.cluster_s),
        device_energy_j=_each(seconds, machines.device_j),
        upload_bytes=sizes,
        download_bytes=sizes,
    )


def backward_table(profile: GroupProfile, machines: Machines) -> BackwardTable:
    """Make the table of the backward pass.

    Raises:
        SettingError: it was not measured.
    """
    if profile.backward_s is None:
        raise SettingError("this profile has no backward pass", mend="measure one: isthmus profile groups --help")
    seconds = in_parts(profile.backward_s)
    return BackwardTable(
        device_s=_each(seconds, machines.device_s),
        cluster_s=_each(seconds, machines.cluster_s),
        device_energy_j=_each(seconds, machines.device_j),
    )


def whole_s(profile: GroupProfile) -> float:
    """Give the least seconds of the whole backbone, of which a device's factor is made."""
    return in_parts(profile.seconds)[0][-1]


def in_parts(seconds: Square) -> Square:
    """Give the least seconds of groups i to j, (n, n), executed together or in any parts, one after the other."""
    least = [list(row) for row in seconds]
    for length in range(1, len(least)):
        for first in range(len(least) - length):
            last = first + length
            apart = (least[first][middle] + least[middle + 1][last] for middle in range(first, last))
            least[first][last] = min(least[first][last], *apart)
    return tuple(map(tuple, least))


def _each(seconds: Square, change: Callable[[float], float]) -> Square:
    return tuple(tuple(change(value) for value in row) for row in seconds)
