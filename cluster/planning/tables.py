"""What the papers' planners read: the costs of options, of groups of layers and of links, as frozen tables.

Owns the records and their checks; computes no plan. Times are seconds, sizes bytes, energies joules of the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

from wire.errors import SettingError
from wire.ids import PointName

Objective = Literal["latency", "energy"]
"""What a plan is to make least: the seconds of a frame, or the device's joules for it."""

Square = tuple[tuple[float, ...], ...]
"""(n, n): row i, column j is of groups i to j, both included, executed together; what lies below i = j is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOption:
    """One way to cut a backbone once.

    An option with 0 bytes sends nothing, and so pays nothing for the link.
    """

    point: PointName
    rate: str
    codec: str = ""
    device_s: float
    """Of head and encoder, without load."""
    cluster_s: float
    """Of decoder and tail, without load."""
    bytes: float
    """Sent for one frame."""
    device_energy_j: float
    """Of the device's computation alone, in ``device_s``."""
    drop: float = 0.0
    """The share of top-1 answers lost beside the unsplit backbone; below 0 where some are gained."""
    cluster_share: float = 0.0
    """The share of the backbone's work that the cluster is left with."""

    @property
    def name(self) -> str:
        """Point, codec and rate."""
        return "/".join(part for part in (self.point, self.codec, self.rate) if part)

    def __post_init__(self) -> None:
        label = f"option {self.name}"
        amounts = ("device_s", "cluster_s", "bytes", "device_energy_j", "cluster_share")
        _check_amounts(label, {name: getattr(self, name) for name in amounts})
        if not -1 <= self.drop <= 1:
            raise SettingError(f"{label} has a drop of {self.drop}", mend="give a share between -1 and 1")


@dataclass(frozen=True, slots=True)
class CutTable:
    """The options that a planner of a single cut may choose from.

    Raises:
        SettingError: there is none.
    """

    options: tuple[CutOption, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise SettingError("a table without options has no best cut", mend="give at least one option")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link of steady rates, and the power of the radio behind it.

    While it sends or receives the radio draws P = alpha × throughput + beta (Huang et al., MobiSys 2012); while it only
    waits, as in ``base_s``, nothing is counted.

    Raises:
        SettingError: a rate is not above 0, or another number is below 0 or not finite.
    """

    name: str
    uplink_bytes_s: float
    downlink_bytes_s: float
    base_s: float = 0.0
    """That every transfer takes however small it is."""
    alpha_up_w_per_mbps: float = 0.0
    alpha_down_w_per_mbps: float = 0.0
    beta_w: float = 0.0

    def __post_init__(self) -> None:
        amounts = ("base_s", "alpha_up_w_per_mbps", "alpha_down_w_per_mbps", "beta_w")
        rates = {"uplink_bytes_s": self.uplink_bytes_s, "downlink_bytes_s": self.downlink_bytes_s}
        _check_amounts(f"link {self.name}", rates | {name: getattr(self, name) for name in amounts})
        if not all(rates.values()):
            raise SettingError(f"link {self.name} carries nothing one way", mend="give rates above 0")

    @property
    def uplink_w(self) -> float:
        """What the radio draws while it sends."""
        return self.alpha_up_w_per_mbps * _mbps(self.uplink_bytes_s) + self.beta_w

    @property
    def downlink_w(self) -> float:
        """What the radio draws while it receives."""
        return self.alpha_down_w_per_mbps * _mbps(self.downlink_bytes_s) + self.beta_w

    def upload_s(self, sent_bytes: float) -> float:
        """Give the seconds of one transfer to the cluster; none for 0 bytes."""
        return self.base_s + sent_bytes / self.uplink_bytes_s if sent_bytes else 0.0

    def download_s(self, received_bytes: float) -> float:
        """Give the seconds of one transfer to the device; none for 0 bytes."""
        return self.base_s + received_bytes / self.downlink_bytes_s if received_bytes else 0.0

    def upload_j(self, sent_bytes: float) -> float:
        """Give the radio's joules to send so much."""
        return self.uplink_w * sent_bytes / self.uplink_bytes_s

    def download_j(self, received_bytes: float) -> float:
        """Give the radio's joules to receive so much."""
        return self.downlink_w * received_bytes / self.downlink_bytes_s


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardTable:
    """The backward pass of one training step, laid out as in the ``GroupTable`` of its forward pass.

    Raises:
        SettingError: a table is not (n, n), or a cost is below 0 or not finite.
    """

    device_s: Square
    cluster_s: Square
    device_energy_j: Square

    def __post_init__(self) -> None:
        _check_squares(self, len(self.device_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """A chain of n layer groups in topological order, as JointDNN measures it; a residual block is one group.

    The squares are (n, n), of grouped executions as they were measured and not of sums of single layers, which take
    longer (JointDNN's own point). The bytes are (n + 1,), of the tensor before group i: 0 is the input and n the
    output. A tensor of 0 bytes needs no transfer, and so none of its base time.

    Raises:
        SettingError: a shape is another, or a number is below 0 or not finite.
    """

    device_s: Square
    cluster_s: Square
    device_energy_j: Square
    """Of the device's computation alone."""
    upload_bytes: tuple[float, ...]
    download_bytes: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_squares(self, self.groups)
        for name, sizes in (("upload_bytes", self.upload_bytes), ("download_bytes", self.download_bytes)):
            if len(sizes) != self.groups + 1:
                raise SettingError(
                    f"{name} has {len(sizes)} entries for {self.groups} groups",
                    mend="give one for the tensor before each group and one for the output",
                )
            _check_amounts(name, {str(index): size for index, size in enumerate(sizes)})

    @property
    def groups(self) -> int:
        """How many there are: n."""
        return len(self.device_s)


def _mbps(bytes_s: float) -> float:
    return bytes_s * 8 / 1e6


def _check_amounts(label: str, amounts: dict[str, float]) -> None:
    for name, amount in amounts.items():
        if not isfinite(amount) or amount < 0:
            raise SettingError(f"{label} has {amount} for {name}", mend="give a finite number that is not below 0")


def _check_squares(table: BackwardTable | GroupTable, groups: int) -> None:
    if not groups:
        raise SettingError("a table without groups has no schedule", mend="give at least one group")
    squares = (("device_s", table.device_s), ("cluster_s", table.cluster_s), ("device_energy_j", table.device_energy_j))
    for name, square in squares:
        _check_square(name, square, groups)


def _check_square(name: str, square: Sequence[Sequence[float]], groups: int) -> None:
    if len(square) != groups or any(len(row) != groups for row in square):
        raise SettingError(f"{name} is not {groups} × {groups}", mend="give a row and a column for every group")
    for first, row in enumerate(square):
        _check_amounts(f"{name}[{first}]", {str(last): row[last] for last in range(first, groups)})


# Last, since a link is checked as it is made.
# Power: Huang et al., MobiSys 2012; rates: the averages of the United States that JointDNN and BottleNet compute with.
RADIOS: Final[dict[str, Link]] = {
    name: Link(
        name=name, uplink_bytes_s=up_mbps * 1e6 / 8, downlink_bytes_s=down_mbps * 1e6 / 8,
        alpha_up_w_per_mbps=alpha_up_mw / 1e3, alpha_down_w_per_mbps=alpha_down_mw / 1e3, beta_w=beta_mw / 1e3,
    )
    for name, up_mbps, down_mbps, alpha_up_mw, alpha_down_mw, beta_mw in (
        ("3g", 1.1, 2.0275, 868.98, 122.12, 817.88),
        ("4g", 5.85, 13.76, 438.39, 51.97, 1288.04),
        ("wifi", 18.88, 54.97, 283.17, 137.01, 132.86),
    )
}  # fmt: skip
"""The links of BottleNet and JointDNN by name, without a base time."""
