"""The scaling policy as Ray Serve's controller calls it: reads what the replicas reported, and asks ``scaling``.

Owns the names of the numbers that a replica gives to Serve. Imports no Ray: Serve pickles this module into its
controller, and hands it a context.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from serve_apps.cluster_config import point_from_plain
from serve_apps.scaling import ReplicaLoad, ScalingState, decide

DECIDE_EVERY_S: Final = 0.5
"""The controller asks ten times a second; the replicas report twice."""
NAMES: Final = ("busy", "queue_s", "arrived_s", "answered_s", "streams", "idle_s")


def stats_of(load: ReplicaLoad) -> dict[str, float]:
    """Turn what a replica reports into the numbers that Serve carries."""
    return {name: float(getattr(load, name)) for name in NAMES}


class PointScaler:
    """Decides for one point; Serve makes one and keeps it while the point is deployed."""

    def __init__(self, **config: Any) -> None:
        """Take the fields of a ``PointConfig``."""
        self._config = point_from_plain(config)
        self._state = ScalingState()
        self._decided_s = float("-inf")

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:
        """Give the number of replicas for a context (Ray Serve's ``AutoscalingContext``), and no state to keep."""
        now_s = time.monotonic()
        target = int(context.target_num_replicas)
        if now_s - self._decided_s < DECIDE_EVERY_S:
            return target, {}
        self._decided_s = now_s
        target, self._state = decide(
            self._state,
            replica_loads(context.raw_metrics or {}, context.running_replicas),
            running=int(context.current_num_replicas),
            target=target,
            config=self._config,
            now_s=now_s,
        )
        return target, {}


def replica_loads(metrics: Mapping[str, Mapping[Any, Any]], running: Any) -> list[ReplicaLoad]:
    """Give the newest report of each running replica that has sent all the numbers."""
    loads = []
    for replica in running:
        newest = {name: metrics.get(name, {}).get(replica) for name in NAMES}
        if all(newest.values()):
            values = {name: series[-1].value for name, series in newest.items() if series}
            loads.append(ReplicaLoad(**{**values, "streams": int(values["streams"])}))
    return loads
