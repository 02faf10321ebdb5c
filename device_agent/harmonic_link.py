"""The papers' link estimates, to compare ours with: a bandwidth from the agent's own transfers and nothing else.

Owns the harmonic mean of the last transfers and the last transfer alone; does no I/O and reads no clock.
"""

import math
from collections import deque
from typing import ClassVar, Final

from device_agent.link_view import LinkView

LEAST_TRANSFER_S: Final = 0.0005
"""Shorter than this a transfer says more about the scheduler of this machine than about the link."""
FIRST_S_PER_BYTE: Final = 8e-7
"""Assumed until the first transfer where nothing better is known: 10 Mbit/s."""


class HarmonicLink:
    """DeepCOD's estimate: the harmonic mean of the bandwidths of the last ten transfers.

    The time of a transfer is its round trip less the time on the cluster (DeepCOD, with equation 14). There is no
    base delay, no uncertainty and no probe: an agent that answers alone learns nothing of a link that recovers.
    """

    transfers_kept: ClassVar[int] = 10

    def __init__(self, prior: LinkView | None = None) -> None:
        self._first_s_per_byte = prior.s_per_byte if prior is not None else FIRST_S_PER_BYTE
        self._s_per_byte: deque[float] = deque(maxlen=self.transfers_kept)
        self._learnt_s = -math.inf

    @property
    def bandwidth_bytes_s(self) -> float | None:
        """Harmonic mean of the transfers kept, in bytes/s; None before the first."""
        return 1.0 / self._mean_s_per_byte if self._s_per_byte else None

    @property
    def surprised(self) -> bool:
        """Never: a mean takes everything as it comes."""
        return False

    def view(self, now_s: float) -> LinkView:
        """Give the estimate, with an assumption in its place before the first transfer."""
        age_s = max(now_s - self._learnt_s, 0.0)
        return LinkView(0.0, self._mean_s_per_byte if self._s_per_byte else self._first_s_per_byte, age_s=age_s)

    def note_round_trip(self, round_trip_s: float, *, now_s: float) -> None:
        """Leave a ping aside: it moves no bytes."""

    def note_transfer(self, moved_bytes: int, link_s: float, *, now_s: float) -> None:
        """Take one exchange that was answered: its bytes both ways, and its round trip less the cluster's time."""
        if moved_bytes > 0:
            self._s_per_byte.append(max(link_s, LEAST_TRANSFER_S) / moved_bytes)
            self._learnt_s = now_s

    def note_train(self, path_bytes: int, round_trip_s: float, *, now_s: float) -> None:
        """Take a train of pings as a transfer; a link that is never probed sees none."""
        self.note_transfer(path_bytes, round_trip_s, now_s=now_s)

    def note_late(self, moved_bytes: int, waited_s: float, *, now_s: float) -> None:
        """Take one exchange that is not answered yet: it counts if it is slower already than what is known."""
        known = self._mean_s_per_byte if self._s_per_byte else 0.0
        if moved_bytes > 0 and waited_s / moved_bytes > known:
            self.note_transfer(moved_bytes, waited_s, now_s=now_s)

    def note_outage(self, *, now_s: float) -> None:
        """Keep of the time before an outage only the mean, as one transfer: the link may have changed."""
        if self._s_per_byte:
            mean = self._mean_s_per_byte
            self._s_per_byte.clear()
            self._s_per_byte.append(mean)

    def wants_probe(self, now_s: float) -> bool:
        """Never: the papers ask for none."""
        return False

    @property
    def _mean_s_per_byte(self) -> float:
        # The harmonic mean of bandwidths is the inverse of the mean of their inverses.
        return sum(self._s_per_byte) / len(self._s_per_byte)


class LastTransferLink(HarmonicLink):
    """The bandwidth of the last transfer, as Neurosurgeon takes the link to be when a layer is chosen."""

    transfers_kept = 1
