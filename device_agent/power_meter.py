"""What this device's processor draws at work over idle, by a sensor, where it has one.

Owns two averages; reads the sensor when it is asked to, which takes some tenths of a millisecond.
"""

from typing import Final, Protocol

WEIGHT: Final = 0.1
AT_MOST_EVERY_S: Final = 0.5


class Sensor(Protocol):
    """What tells the watts that the whole device draws now; None if it cannot."""

    def read_w(self) -> float | None:
        """Read it."""


class PowerMeter:
    """Averages of what is drawn right after a graph ran, and while no frame is at hand."""

    def __init__(self, sensor: Sensor) -> None:
        self._sensor = sensor
        self._busy_w: float | None = None
        self._idle_w: float | None = None
        self._busy_at_s = float("-inf")

    @property
    def extra_w(self) -> float | None:
        """Watts at work over idle; None before both were read."""
        if self._busy_w is None or self._idle_w is None:
            return None
        return max(self._busy_w - self._idle_w, 0.0)

    def note_busy(self, now_s: float) -> None:
        """Read while the processor is at work, or has just been; now and then is enough."""
        if now_s - self._busy_at_s >= AT_MOST_EVERY_S:
            self._busy_at_s = now_s
            self._busy_w = _blend(self._busy_w, self._sensor.read_w())

    def note_idle(self) -> None:
        """Read while nothing runs."""
        self._idle_w = _blend(self._idle_w, self._sensor.read_w())


def _blend(mean_w: float | None, read_w: float | None) -> float | None:
    if read_w is None or mean_w is None:
        return mean_w if read_w is None else read_w
    return mean_w + WEIGHT * (read_w - mean_w)
