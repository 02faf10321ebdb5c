"""What the agent knows about its link: bandwidth from its own transfers, base delay from pings.

Owns the estimate; does no I/O and reads no clock.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from device_agent.planner import LinkView

TRANSFERS_KEPT: Final = 10
ROUND_TRIPS_KEPT: Final = 5
LEAST_TRANSFER_S: Final = 0.0005
"""Shorter than this a transfer says more about the scheduler of this machine than about the link."""
FIRST_BANDWIDTH_BYTES_S: Final = 1_250_000.0
"""Assumed until the first transfer: 10 Mbit/s."""
FIRST_BASE_S: Final = 0.01
IDLE_GROWTH: Final = 1.5


class LinkEstimate:
    """Bandwidth and base delay of one link.

    The time of a transfer is its round trip less the time on the cluster (DeepCOD, with equation 14) and
    less the base delay; the bandwidth is the harmonic mean of the last ten. The base delay is our extension:
    the whole round trip of a ping, so that link time = base + bytes / bandwidth.
    """

    def __init__(self) -> None:
        self._bandwidths_bytes_s: deque[float] = deque(maxlen=TRANSFERS_KEPT)
        self._round_trips_s: deque[float] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._idle = False

    @property
    def bandwidth_bytes_s(self) -> float | None:
        """Harmonic mean of the last ten transfers in bytes/s; None before the first."""
        return harmonic_mean(self._bandwidths_bytes_s) if self._bandwidths_bytes_s else None

    @property
    def base_s(self) -> float:
        """The least of the recent round trips, in seconds."""
        return min(self._round_trips_s, default=FIRST_BASE_S)

    def view(self) -> LinkView:
        """Give what the planner needs, with an assumption in place of what was not measured yet."""
        return LinkView(self.bandwidth_bytes_s or FIRST_BANDWIDTH_BYTES_S, self.base_s)

    def note_round_trip(self, round_trip_s: float) -> None:
        """Take the round trip of a ping, in seconds."""
        self._round_trips_s.append(round_trip_s)

    def note_transfer(self, sent_bytes: int, round_trip_s: float, cluster_s: float) -> None:
        """Take one frame that was answered: its bytes, its round trip and the cluster's share of it."""
        self._idle = False
        transfer_s = max(round_trip_s - cluster_s - self.base_s, LEAST_TRANSFER_S)
        self._bandwidths_bytes_s.append(sent_bytes / transfer_s)

    def note_late(self, sent_bytes: int, waited_s: float) -> None:
        """Take one frame that was not answered in time on a living link: the bandwidth is at most this."""
        ceiling = sent_bytes / max(waited_s - self.base_s, LEAST_TRANSFER_S)
        known = self.bandwidth_bytes_s
        if known is None or ceiling < known:
            self._bandwidths_bytes_s.append(ceiling)

    def note_idle(self) -> None:
        """Take it that some seconds have gone by; without a transfer in them a low estimate grows.

        Otherwise an agent that once saw a bad link, and has answered alone ever since, would never send
        again. The cheapest option becomes the best one first, and its transfer brings the truth.
        """
        known = self.bandwidth_bytes_s
        if self._idle and known is not None and known < FIRST_BANDWIDTH_BYTES_S:
            grown = [bandwidth * IDLE_GROWTH for bandwidth in self._bandwidths_bytes_s]
            self._bandwidths_bytes_s.clear()
            self._bandwidths_bytes_s.extend(grown)
        self._idle = True

    def reset_after_outage(self) -> None:
        """Keep of the time before an outage only the mean, as one sample: the link may have changed."""
        mean = self.bandwidth_bytes_s
        self._bandwidths_bytes_s.clear()
        self._round_trips_s.clear()
        if mean is not None:
            self._bandwidths_bytes_s.append(mean)


def harmonic_mean(values: Iterable[float]) -> float:
    """Give the harmonic mean of positive numbers."""
    inverses = [1.0 / value for value in values]
    return len(inverses) / sum(inverses)
