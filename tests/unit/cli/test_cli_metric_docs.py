"""What `docs/monitoring.md` says of metrics is what there is, and all of it."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from device_agent.metrics import AgentMetrics
from serve_apps.control_watch import ControlWatch
from serve_apps.guard import NO_GUARD
from serve_apps.replica_board import ReplicaBoard
from serve_apps.replica_watch import ReplicaWatch
from wire.ids import BundleDigest, PointName
from wire.messages import LoadSignal

DOCS = Path(__file__).parents[3] / "docs" / "monitoring.md"
DIGEST = BundleDigest("a" * 64)
LOAD = LoadSignal(
    point=PointName("mid"), state="ready", service_s=0.0, queue_s=0.0, utilisation=0.0, in_flight=0, replicas=1
)


def families(registry: CollectorRegistry) -> dict[str, str]:
    """Every metric of a registry, as Prometheus names it, with its type."""
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric.type
        for metric in registry.collect()
        if metric.name.startswith("isthmus_")
    }


def test_the_documentation_names_every_metric_with_its_type_and_no_other() -> None:
    documented = dict(re.findall(r"^\| `(isthmus_[a-z_]+)` \| (\w+)", DOCS.read_text(encoding="utf-8"), re.MULTILINE))

    async def no_signals() -> list[LoadSignal]:
        return []

    board = ReplicaBoard()
    board.note(ReplicaWatch(PointName("mid"), "one").report(DIGEST, LOAD))
    control = ControlWatch(board, no_signals, NO_GUARD, newest=lambda: DIGEST)
    there = families(AgentMetrics().registry) | families(control.registry)
    assert documented == there
