"""What an estimate of a link is, and which ones there are.

Owns the interface between whoever measures (transport, prober) and whoever plans; every call is told the time.
"""

from typing import Literal, Protocol

from device_agent.harmonic_link import HarmonicLink, LastTransferLink
from device_agent.kalman_link import KalmanLink
from device_agent.link_view import LinkView

__all__ = ["HarmonicLink", "KalmanLink", "LastTransferLink", "LinkEstimate", "LinkKind", "LinkView", "make_link"]

LinkKind = Literal["kalman", "harmonic", "last"]


class LinkEstimate(Protocol):
    """What is known about one link, learnt from its own exchanges; ``now_s`` is on the monotonic clock."""

    @property
    def bandwidth_bytes_s(self) -> float | None:
        """Bytes a second; None before the first transfer that says anything about them."""

    @property
    def surprised(self) -> bool:
        """Whether an exchange was far slower than expected, and another one would tell a stall from a change."""

    def view(self, now_s: float) -> LinkView:
        """Give what is known now, with an assumption in place of what was not measured yet."""

    def note_round_trip(self, round_trip_s: float, *, now_s: float) -> None:
        """Take the round trip of a ping, which moves next to no bytes."""

    def note_transfer(self, moved_bytes: int, link_s: float, *, now_s: float) -> None:
        """Take one exchange that was answered: its bytes both ways, and its round trip less the cluster's time."""

    def note_train(self, path_bytes: int, round_trip_s: float, *, now_s: float) -> None:
        """Take a train of pings: bytes that followed each other on the way, and the round trip of the last one."""

    def note_late(self, moved_bytes: int, waited_s: float, *, now_s: float) -> None:
        """Take one exchange that is not answered after ``waited_s`` on a living link."""

    def note_outage(self, *, now_s: float) -> None:
        """Take it that the link is back after it was truly away."""

    def wants_probe(self, now_s: float) -> bool:
        """Tell whether an exchange of some 1 kB, for no other purpose, is worth its bytes now."""


def make_link(kind: LinkKind, prior: LinkView | None = None) -> LinkEstimate:
    """Make an estimate that begins with ``prior``, what was known at the end of the last run."""
    match kind:
        case "kalman":
            return KalmanLink(prior)
        case "harmonic":
            return HarmonicLink(prior)
        case "last":
            return LastTransferLink(prior)
