"""Our link estimate: base delay and time a byte, told apart by a Kalman filter of two states.

Owns what an exchange says of the link and when it says too little; the algebra is in ``device_agent.line_filter``.
Does no I/O and reads no clock.
"""

import math
from collections import deque
from typing import Final

from device_agent.line_filter import LineFilter
from device_agent.link_view import LinkView
from device_agent.probe_timer import ProbeTimer

FIRST_VIEW: Final = LinkView(base_s=0.010, s_per_byte=8e-7)
"""Assumed where no run before left anything: 10 Mbit/s."""
LEAST_BASE_S: Final = 1e-4
MOST_EXCHANGE_S: Final = 60.0
LEAST_S_PER_BYTE: Final = 1 / 125e6
"""1 Gbit/s."""
MOST_S_PER_BYTE: Final = 1 / 125
"""1 kbit/s."""

BASE_DOUBT: Final = 5.0
BYTE_DOUBT: Final = 3.0
"""Standard deviation, relative to the mean, of what is only assumed or was measured before an outage."""
BASE_WALK: Final = 0.1
BYTE_WALK: Final = 0.5
"""Step of the random walk, relative to the mean, in the root of a second; found by replaying 23 mobile traces."""
BASE_IDLE: Final = 1.0
BYTE_IDLE: Final = 1.5
"""Time alone makes nothing less certain than this, relative to the mean."""

FIRST_NOISE_S: Final = 0.001
LEAST_NOISE_S: Final = 0.0005
"""The scheduler of this machine alone makes round trips differ by as much."""
NOISE_MEMORY: Final = 0.1
NOISE_OF_BYTES: Final = 0.05
"""Noise of an exchange, relative to the time that its bytes take."""
SPREAD_MEMORY: Final = 0.05
MOST_DEVIATION: Final = 3.0
"""What one exchange may say of how much exchanges differ, in standard deviations or, of the time a byte, in means."""
ROUND_TRIPS_KEPT: Final = 3

SURPRISE: Final = 2.5
"""So many standard deviations slower than expected, the link has changed or something stood in the way."""
TELLING: Final = 4.0
"""A surprise is worth a probe where that would be late by so many standard deviations of noise, were it true."""
BELIEVED_AT_FIRST: Final = 2.0
BELIEVED_MORE: Final = 8.0
ENOUGH_IN_A_ROW: Final = 6
"""A slow exchange may say that the time a byte is 2 × 8ⁿ⁻¹ times what it was, if it is the n-th in a row."""
KNOWS_BETTER: Final = 2.0
"""Of two slow exchanges, the first is heard again with the second if it moved so many times as many bytes."""
MOST_RISE: Final = 2.0
"""One exchange at most doubles the bandwidth, so that a lucky one does not lure the agent."""
STALE_RISE: Final = 10.0
"""The same where what was known had become stale, and deserves less trust."""

LEAST_SHARE: Final = 0.1
"""An exchange says nothing of the time a byte if less than this share of its surprise is due to that."""
PROBE_BYTES: Final = 1000
STALE: Final = 0.7
"""Standard deviation of the time a byte, relative to its mean, from which on a probe is worth its bytes."""
EXCHANGE_S: Final = 0.002
"""What an exchange takes on top of a ping of as many bytes: two event loops and a proxy that have to look at it.

Left in, it would pass for bytes that are slow, and of an exchange of some hundred bytes it is a fifth of their time.
"""
NEWS: Final = 1.25
"""A factor by which the time a byte has changed that is worth looking again soon."""


class KalmanLink:
    """Base delay and time a byte of one link: an exchange takes base + time a byte × bytes + noise.

    A ping moves no bytes and so speaks of the base delay alone; a small transfer says little of the bandwidth and a
    large one much, by nothing but the covariance of the two. Both walk at random, so that what is known fades. A link
    is no linear Gaussian system, and so it departs from the textbook in this:

    - An exchange that is far slower than expected makes the time a byte uncertain, in proportion to what it was. One
      alone may be a stall and moves it little; the second in a row is believed.
    - An exchange that is faster moves it freely, but never by more than a factor of two, or ten after a silence.
    - The base delay stays near the least of the last round trips, and below every exchange.
    """

    def __init__(self, prior: LinkView | None = None) -> None:
        first = prior or FIRST_VIEW
        base_s = min(max(first.base_s - EXCHANGE_S, LEAST_BASE_S), MOST_EXCHANGE_S)
        s_per_byte = min(max(first.s_per_byte, LEAST_S_PER_BYTE), MOST_S_PER_BYTE)
        self._line = LineFilter(base_s, s_per_byte, base_var=0.0, slope_var=0.0)
        self._noise_var = FIRST_NOISE_S**2
        self._spread = 0.0
        self._now_s = -math.inf
        self._learnt_s = -math.inf
        self._slow_s = -math.inf
        self._slow_bytes = self._slow_in_a_row = 0
        self._slow_s_per_byte = self._slow_took_s = 0.0
        self._probes = ProbeTimer()
        self._round_trips_s: deque[float] = deque(maxlen=ROUND_TRIPS_KEPT)
        self._forget()

    @property
    def bandwidth_bytes_s(self) -> float | None:
        """Bytes a second; None before the first transfer that was large enough to say anything of it."""
        return None if math.isinf(self._learnt_s) else 1.0 / self._line.slope

    @property
    def surprised(self) -> bool:
        """Whether an exchange was far slower than expected, none since says why, and a probe would say."""
        told_s = PROBE_BYTES * self._slow_s_per_byte
        return self._slow_in_a_row == 1 and told_s >= TELLING * math.sqrt(self._noise_var)

    def view(self, now_s: float) -> LinkView:
        """Give means and standard deviations as of now."""
        base_var, byte_var = self._variances(now_s)
        return LinkView(
            base_s=self._line.base + EXCHANGE_S,
            s_per_byte=self._line.slope,
            base_sd_s=math.sqrt(base_var + self._noise_var),
            s_per_byte_sd=math.sqrt(max(byte_var, self._spread * self._line.slope**2)),
            age_s=max(now_s - self._learnt_s, 0.0),
        )

    def note_round_trip(self, round_trip_s: float, *, now_s: float) -> None:
        """Take a ping: the base delay follows it, and noise is learnt from its jitter."""
        took_s = _within_reason(round_trip_s)
        self._drift(now_s)
        jitter_var = (took_s - self._line.base) ** 2 - self._line.base_var
        most_var = MOST_DEVIATION**2 * self._noise_var
        self._observe(0, took_s)
        self._noise_var += NOISE_MEMORY * (min(max(jitter_var, 0.0), most_var) - self._noise_var)
        self._noise_var = max(self._noise_var, LEAST_NOISE_S**2)
        self._round_trips_s.append(took_s)
        self._bound(took_s)

    def note_transfer(self, moved_bytes: int, link_s: float, *, now_s: float) -> None:
        """Take one exchange that was answered: its bytes both ways, and its round trip less the cluster's time."""
        self._note_answered(moved_bytes, _within_reason(link_s - EXCHANGE_S), now_s)

    def note_train(self, path_bytes: int, round_trip_s: float, *, now_s: float) -> None:
        """Take a train of pings: bytes that followed each other on the way, and the round trip of the last one."""
        self._note_answered(path_bytes, _within_reason(round_trip_s), now_s)

    def _note_answered(self, moved_bytes: int, took_s: float, now_s: float) -> None:
        self._note_exchange(moved_bytes, took_s, now_s)
        if self._round_trips_s and took_s < min(self._round_trips_s):
            # As good as a ping, and sooner.
            self._round_trips_s.append(took_s)
        self._bound(took_s)

    def note_late(self, moved_bytes: int, waited_s: float, *, now_s: float) -> None:
        """Take one exchange that is not answered yet, as if it had been just now: the least that is certain.

        Where it was not to be expected any sooner, it says nothing.
        """
        waited_s = _within_reason(waited_s - EXCHANGE_S)
        if waited_s > self._line.at(moved_bytes):
            self._note_exchange(moved_bytes, waited_s, now_s)
        elif self._is_stale(now_s):
            self._probes.note_answer(now_s, idle=True)

    def note_outage(self, *, now_s: float) -> None:
        """Keep the means and doubt them: the link that came back may be another one."""
        self._drift(now_s)
        self._round_trips_s.clear()
        self._probes.reset()
        self._forget()

    def wants_probe(self, now_s: float) -> bool:
        """Tell whether the time a byte is uncertain, a probe of 1 kB would mend that, and the last one is long ago."""
        return self._probes.is_due(now_s) and self._is_stale(now_s)

    def _note_exchange(self, moved_bytes: int, took_s: float, now_s: float) -> None:
        was_stale, before = self._is_stale(now_s), self._line.slope
        self._drift(now_s)
        share = self._observe(moved_bytes, took_s, most_rise=STALE_RISE if was_stale else MOST_RISE)
        if share >= LEAST_SHARE:
            self._learnt_s = self._now_s
        if share >= LEAST_SHARE or moved_bytes >= PROBE_BYTES:
            news = self._slow_in_a_row or not 1 / NEWS <= self._line.slope / before <= NEWS
            self._probes.note_answer(now_s, idle=was_stale and not news)

    def _observe(self, moved_bytes: int, took_s: float, most_rise: float = MOST_RISE) -> float:
        """Correct the line by one exchange; gives the share of its surprise that is due to the time a byte."""
        line = self._line
        error_s = took_s - line.at(moved_bytes)
        noise_var = self._noise_var + (NOISE_OF_BYTES * line.slope * moved_bytes) ** 2
        if error_s > SURPRISE * math.sqrt(line.variance_at(moved_bytes) + noise_var):
            self._widen(moved_bytes, took_s, error_s)
            # What the line cannot explain even so was not the link.
            noise_var = max(noise_var, error_s**2 - line.variance_at(moved_bytes))
        elif moved_bytes >= min(self._slow_bytes // 2, PROBE_BYTES):
            # A small exchange that is well would say little of what held up a large one.
            self._slow_in_a_row = 0
        share = moved_bytes**2 * line.slope_var / (line.variance_at(moved_bytes) + noise_var)
        if share >= LEAST_SHARE:
            apart = (error_s**2 - self._noise_var - line.base_var) / (moved_bytes * line.slope) ** 2
            self._spread += SPREAD_MEMORY * (min(max(apart, 0.0), MOST_DEVIATION**2) - self._spread)
        line.observe(moved_bytes, took_s, noise_var, least_slope=line.slope / most_rise)
        line.base = max(line.base, LEAST_BASE_S)
        line.slope = min(max(line.slope, LEAST_S_PER_BYTE), MOST_S_PER_BYTE)
        return share

    def _widen(self, moved_bytes: int, took_s: float, error_s: float) -> None:
        """Make the time a byte as uncertain as a slow exchange suggests: within bounds that grow with each in a row.

        Exchanges that were under way together were held up by the same stall, and are one witness.
        """
        if not moved_bytes:
            return
        first_bytes, first_s = self._slow_bytes, self._slow_took_s
        if is_new := not self._slow_in_a_row or self._now_s - took_s >= self._slow_s:
            self._slow_in_a_row = min(self._slow_in_a_row + 1, ENOUGH_IN_A_ROW)
            self._slow_s, self._slow_bytes, self._slow_took_s = self._now_s, moved_bytes, took_s
            self._slow_s_per_byte = error_s / moved_bytes
        believed = BELIEVED_AT_FIRST * BELIEVED_MORE ** (self._slow_in_a_row - 1)
        # On a fast link the bytes drown in noise: what a probe could just tell from it counts as known.
        most_s = believed * max(self._line.slope, math.sqrt(self._noise_var) / PROBE_BYTES)
        self._line.slope_var = max(self._line.slope_var, min(most_s, error_s / moved_bytes) ** 2)
        if is_new and self._slow_in_a_row == 2 and first_bytes >= KNOWS_BETTER * moved_bytes:
            # The first is believed now as well. One that moved no more was in part on the link as it had been before.
            self._line.observe(first_bytes, first_s, self._noise_var, least_slope=self._line.slope)

    def _bound(self, took_s: float) -> None:
        """Keep the base delay below an exchange that was answered, and near the least of the last round trips."""
        line = self._line
        if self._round_trips_s:
            least_s = min(self._round_trips_s)
            line.base = min(line.base, least_s + math.sqrt(self._noise_var))
            if len(self._round_trips_s) == ROUND_TRIPS_KEPT:
                # One slow ping may be a stall; when all of them are slow, the base delay has risen.
                line.base = max(line.base, least_s)
        line.base = max(min(line.base, took_s), LEAST_BASE_S)

    def _forget(self) -> None:
        self._line.base_var = (BASE_DOUBT * self._line.base) ** 2
        self._line.slope_var = (BYTE_DOUBT * self._line.slope) ** 2
        self._line.covariance = 0.0
        self._slow_in_a_row = 0

    def _drift(self, now_s: float) -> None:
        self._line.base_var, self._line.slope_var = self._variances(now_s)
        self._now_s = max(self._now_s, now_s)

    def _variances(self, now_s: float) -> tuple[float, float]:
        """Give the variances of both states after a random walk until now."""
        elapsed_s = max(now_s - self._now_s, 0.0) if math.isfinite(self._now_s) else 0.0
        return (
            _grown(self._line.base_var, self._line.base**2, BASE_WALK**2 * elapsed_s, BASE_IDLE**2),
            _grown(self._line.slope_var, self._line.slope**2, BYTE_WALK**2 * elapsed_s, BYTE_IDLE**2),
        )

    def _is_stale(self, now_s: float) -> bool:
        _, byte_var = self._variances(now_s)
        told_var = PROBE_BYTES**2 * byte_var
        return byte_var >= (STALE * self._line.slope) ** 2 and told_var >= LEAST_SHARE * (told_var + self._noise_var)


def _grown(variance: float, square: float, step: float, most: float) -> float:
    """Add a step to a variance, both steps and bound relative to the square of the mean."""
    return max(variance, min(variance + step * square, most * square))


def _within_reason(took_s: float) -> float:
    # A cluster's clock may count more than the whole round trip; an exchange of minutes was an outage.
    return min(max(took_s, LEAST_BASE_S), MOST_EXCHANGE_S)
