"""What every option is predicted to cost: seconds, joules and bytes of one frame."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from device_agent.link_estimate import LinkView
from device_agent.option_table import Floats
from device_agent.snapshot import Estimates

OPENING_ROUND_TRIPS: Final = 3
"""Of a stream that is opened: TCP, WebSocket, and the greeting."""
OPENING_BYTES: Final = 1300
"""Both ways."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted seconds of one frame, part by part, with the device's joules and the bytes both ways."""

    device_s: float
    link_s: float
    cluster_s: float
    energy_j: float = 0.0
    bytes: float = 0.0
    link_sd_s: float = 0.0
    """Standard deviation of ``link_s``, by what is known of the link and of the frames' sizes."""
    spared_s: float = 0.0
    """What the device's own answer, begun as soon as the frame is sent, is expected to spare; 0 without a race."""

    @property
    def total_s(self) -> float:
        """Device, link and cluster together, in seconds, less what a race spares."""
        return self.device_s + self.link_s + self.cluster_s - self.spared_s

    @property
    def races(self) -> bool:
        """Whether the device begins its own answer at once, beside the cluster."""
        return self.spared_s > 0


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """The predicted cost of every option: device + link + cluster, as DeepCOD's equation 14 has it.

    DeepCOD takes bytes / bandwidth for the link; we add the round trip of an exchange of no bytes, which for codes of a
    few hundred bytes is most of the time on the link. Every further look costs that round trip and the time on the
    cluster once more. Where there is no stream yet, ``opening_s`` is in
    ``link_s`` too. Energy is that of the processor and of the radio (Huang et al., MobiSys 2012).
    """

    link_s: Floats
    link_sd_s: Floats
    cluster_s: Floats
    total_s: Floats
    energy_j: Floats
    moved_bytes: Floats
    opening_s: float
    """What it takes to open a stream."""

    @classmethod
    def of(cls, estimates: Estimates) -> "Costs":
        """Predict every option on a link that is up, or as if it were where it is down."""
        link = estimates.link or LinkView(0.0, 0.0)
        looks, moved = estimates.looks, estimates.moved_bytes
        transfer_s = moved * link.s_per_byte
        opening_s = OPENING_ROUND_TRIPS * link.base_s + OPENING_BYTES * link.s_per_byte
        link_s = looks * link.base_s + transfer_s + opening_s * estimates.closed
        cluster_s = looks * estimates.cluster_s
        of_link = (looks * link.base_sd_s) ** 2 + (moved * link.s_per_byte_sd) ** 2
        variance = of_link + (link.s_per_byte * estimates.bytes_sd) ** 2
        return cls(
            link_s=link_s,
            link_sd_s=np.sqrt(variance),
            cluster_s=cluster_s,
            total_s=estimates.device_s + link_s + cluster_s,
            energy_j=estimates.energy.frame_j(estimates.device_s, moved, transfer_s),
            moved_bytes=moved,
            opening_s=opening_s,
        )

    def at(self, row: int, estimates: Estimates, *, spared_s: float = 0.0) -> Prediction:
        """Give the prediction of one option, and of the race that spares so much of it."""
        return Prediction(
            device_s=float(estimates.device_s[row]),
            link_s=float(self.link_s[row]),
            cluster_s=float(self.cluster_s[row]),
            energy_j=float(self.energy_j[row]),
            bytes=float(self.moved_bytes[row]),
            link_sd_s=float(self.link_sd_s[row]),
            spared_s=spared_s,
        )
