"""What the agent knows of the cluster: the load signal of every point, and who refused it. Pure: time goes in."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from device_agent.option_table import Flags, Floats
from wire.errors import DeadlineExceeded, IsthmusError, LookMissing, Overloaded
from wire.ids import PointName
from wire.messages import LoadSignal

FIRST_CLUSTER_S: Final = 0.01
"""Assumed for a point whose load signal is not known yet."""
FRESH_S: Final = 3.0
"""For so long a queue is taken to be as it was published, and then to empty by half in each ``HALF_LIFE_S``."""
HALF_LIFE_S: Final = 2.0
REFUSED_S: Final = 0.5
"""For so long a point is not asked again that refuses and does not say when to try."""
NOT_SERVED: Final = frozenset({"starting", "cold"})
"""States in which a point answers no frame within any deadline."""


class ClusterView:
    """The last load signal of each point (BottleNet's K_cloud, and the queue), and points that refuse for now."""

    def __init__(self) -> None:
        self._loads: dict[PointName, tuple[LoadSignal, float]] = {}
        self._refused_until_s: dict[PointName, float] = {}

    def load(self, point: PointName) -> LoadSignal | None:
        """Give the last signal of a point."""
        known = self._loads.get(point)
        return known[0] if known is not None else None

    def note_loads(self, loads: Iterable[LoadSignal], *, now_s: float) -> None:
        """Take load signals that are as new as can be."""
        self._loads.update((load.point, (load, now_s)) for load in loads)

    def note_refusal(self, point: PointName, error: IsthmusError, *, now_s: float, retry_after_s: float = 0.0) -> None:
        """Take it that a point takes no frames for a while, if that is what a refusal says.

        It says so by a time to try again, or by an error that would meet the next frame too. A stream cut between two
        looks would not, nor would the little time that was left for one frame.
        """
        of_one_frame = error.retryable or isinstance(error, LookMissing | DeadlineExceeded)
        if retry_after_s or isinstance(error, Overloaded) or not of_one_frame:
            until_s = now_s + (retry_after_s or REFUSED_S)
            self._refused_until_s[point] = max(until_s, self._refused_until_s.get(point, 0.0))

    def forget_refusals(self) -> None:
        """Try every point again."""
        self._refused_until_s.clear()

    def is_served(self, point: PointName, now_s: float) -> bool:
        """Tell whether the cluster takes frames at a point, as far as is known."""
        if self.is_refused(point, now_s):
            return False
        load = self.load(point)
        return load.state not in NOT_SERVED if load is not None else not self._loads

    def is_refused(self, point: PointName, now_s: float) -> bool:
        """Tell whether the cluster has asked to be spared at a point until later."""
        return now_s < self._refused_until_s.get(point, 0.0)

    def is_asleep(self, point: PointName) -> bool:
        """Tell whether a point has no replica now, and would be started for whoever asks."""
        load = self.load(point)
        return load is not None and load.state == "cold"

    def cluster_s(self, point: PointName, now_s: float) -> float:
        """Give the expected seconds of one exchange on the cluster: service and queue."""
        known = self._loads.get(point)
        if known is None:
            return FIRST_CLUSTER_S
        load, at_s = known
        faded = 0.5 ** (max(now_s - at_s - FRESH_S, 0.0) / HALF_LIFE_S)
        return load.service_s + load.queue_s * faded

    def columns(self, points: tuple[PointName, ...], now_s: float, *, insists: bool = False) -> tuple[Floats, Flags]:
        """Give (points + 1,) seconds and whether each is served; the last row is of what is not sent.

        Who ``insists`` on a point asks there whatever its load signal says, but not while it refuses.
        """
        seconds = [self.cluster_s(point, now_s) for point in points]
        served = [not self.is_refused(point, now_s) if insists else self.is_served(point, now_s) for point in points]
        return np.array([*seconds, 0.0]), np.array([*served, True])
