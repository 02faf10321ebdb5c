"""How each partition point stands, by the load that the cluster publishes: asleep, starting, leaving, overloaded."""

from collections.abc import Iterator
from typing import Final

from device_agent.cluster_info import Fetch, fetch_loads
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.finding import Finding, Verdict
from wire.messages import LoadSignal
from wire.records import to_plain

BUSY: Final = 0.9
"""Share of the time over which a point's replicas have nothing to spare."""
LEAST_QUEUE_S: Final = 0.05
"""A queue that is shorter is no overload, however fast the point is."""


class LoadCheck:
    """One finding for each point that is served."""

    name = "load"
    needs = ("token",)

    def __init__(self, deployment: Deployment, fetch: Fetch) -> None:
        self._deployment, self._fetch = deployment, fetch

    def run(self) -> Iterator[Finding]:
        """Ask; raises ClusterUnreachable."""
        self._deployment.loads = fetch_loads(self._fetch)
        if not self._deployment.loads:
            yield Finding(
                self.name,
                "fail",
                "the cluster names no point that it serves",
                "see that the points' applications run: `serve status`",
            )
        for load in self._deployment.loads:
            yield self._of(load)

    def _of(self, load: LoadSignal) -> Finding:
        verdict, sentence, mend = judged(load)
        return Finding(self.name, verdict, sentence, mend, subject=load.point, figures=to_plain(load))


def judged(load: LoadSignal) -> tuple[Verdict, str, str]:
    """Give the verdict on a point's load, the sentence, and how to mend it."""
    replicas = f"{load.replicas} replica{'' if load.replicas == 1 else 's'}"
    service_ms, queue_ms = load.service_s * 1e3, load.queue_s * 1e3
    match load.state:
        case "cold":
            sentence = f"sleeps: no replica runs, and its first frame waits about {load.cold_start_s:.0f} s"
            return "warn", sentence, "set `min: 1` for the point, if no frame may wait so long"
        case "starting":
            mend = "wait; if it lasts, read why no replica starts: `serve status`"
            return "warn", "no replica is ready yet", mend
        case "draining":
            return "warn", f"{replicas} left, and stopping", "see whether an update is on its way: `isthmus top`"
        case "ready":
            pass
    if load.utilisation >= BUSY or load.queue_s > max(load.service_s, LEAST_QUEUE_S):
        sentence = (
            f"is overloaded: {replicas}, {load.utilisation:.0%} busy, "
            f"and a frame waits {queue_ms:.0f} ms before its own {service_ms:.1f} ms"
        )
        return "warn", sentence, "raise `max` for the point, or give the cluster more nodes (docs/scaling.md)"
    sentence = (
        f"ready: {replicas}, {load.utilisation:.0%} busy; a frame waits {queue_ms:.1f} ms, takes {service_ms:.1f} ms"
    )
    return "ok", sentence, ""
