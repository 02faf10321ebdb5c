"""Waiting for a point that sleeps or starts: it is woken as an agent wakes it, and asked until it is ready."""

import time
from collections.abc import Callable
from typing import Final

from device_agent.cluster_info import Fetch, fetch_loads, wake_point
from device_agent.cluster_view import NOT_SERVED
from device_agent.prober import WAKE_EVERY_S
from wire.errors import ClusterUnreachable
from wire.ids import PointName
from wire.messages import LoadSignal, LoadState

SETTLE_S: Final = 10.0
"""After a replica says that it is ready, what stands before it may not know that yet."""


class Waker:
    """Wakes points; ``patience_s`` is how long one may take."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        patience_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fetch, self._patience_s = fetch, patience_s
        self.monotonic, self.sleep = monotonic, sleep

    def wake(self, point: PointName, state: LoadState) -> float:
        """Have a point that is in this state ready; gives the seconds that it took, which is 0 for one that is.

        Raises:
            ClusterUnreachable: it is not ready in time.
        """
        if state not in NOT_SERVED:
            return 0.0
        begun_s = self.monotonic()
        while state in NOT_SERVED:
            waited_s = self.monotonic() - begun_s
            if waited_s > self._patience_s:
                raise ClusterUnreachable(
                    f"it is {state} still after {waited_s:.0f} s", mend="read why no replica starts: `serve status`"
                )
            signal = wake_point(self._fetch, point) if state == "cold" else self._signal(point)
            state = signal.state if signal is not None else state
            if state in NOT_SERVED:
                self.sleep(WAKE_EVERY_S)
        return self.monotonic() - begun_s

    def _signal(self, point: PointName) -> LoadSignal | None:
        return next((load for load in fetch_loads(self._fetch) if load.point == point), None)
