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

_Known = tuple[LoadSignal, float]
"""A load signal, and when it came."""


class ClusterView:
    """The last load signal of each point (BottleNet's K_cloud, and the queue), and points that refuse for now."""

    def __init__(self) -> None:
        self._loads: dict[PointName, _Known] = {}
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
        return not self.is_refused(point, now_s) and self._answers(self._loads.get(point))

    def is_refused(self, point: PointName, now_s: float) -> bool:
        """Tell whether the cluster has asked to be spared at a point until later."""
        return now_s < self._refused_until_s.get(point, 0.0)

    def is_asleep(self, point: PointName) -> bool:
        """Tell whether a point has no replica now, and would be started for whoever asks."""
        return _sleeps(self._loads.get(point))

    def cluster_s(self, point: PointName, now_s: float) -> float:
        """Give the expected seconds of one exchange on the cluster: service and queue."""
        return _expected_s(self._loads.get(point), now_s)

    def columns(
        self, points: tuple[PointName, ...], now_s: float, *, insists: bool = False
    ) -> tuple[Floats, Flags, Flags]:
        """Give (points + 1,) seconds, and whether each is served and asleep; the last row is of what is not sent.

        Who ``insists`` on a point asks there whatever its load signal says, but not while it refuses.
        """
        known = [self._loads.get(point) for point in points]
        refused = {point for point, until_s in self._refused_until_s.items() if now_s < until_s}
        seconds = [_expected_s(each, now_s) for each in known]
        served = [
            point not in refused and (insists or self._answers(each)) for point, each in zip(points, known, strict=True)
        ]
        asleep = [_sleeps(each) for each in known]
        return np.array([*seconds, 0.0]), np.array([*served, True]), np.array([*asleep, False])

    def _answers(self, known: _Known | None) -> bool:
        return known[0].state not in NOT_SERVED if known is not None else not self._loads


def _expected_s(known: _Known | None, now_s: float) -> float:
    if known is None:
        return FIRST_CLUSTER_S
    load, at_s = known
    old_s = now_s - at_s - FRESH_S
    return load.service_s + (load.queue_s if old_s <= 0 else load.queue_s * 0.5 ** (old_s / HALF_LIFE_S))


def _sleeps(known: _Known | None) -> bool:
    return known is not None and known[0].state == "cold"
