"""What the control application knows of the replicas: the last that each of them told, joined.

Owns the board, from which come `/v1/metrics`, `/v1/replicas` and `/v1/agents`. A replica that says nothing any more is
taken off. Prometheus meets replicas behind one address, so it cannot ask each of them; here each has its label.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serve_apps.agents_seen import AgentSeen
from serve_apps.replica_watch import ReplicaSeen
from wire.ids import DeviceId
from wire.records import to_plain

FORGOTTEN_AFTER_S: Final = 10.0
MOST_AGENTS: Final = 5000
_OF_LOAD: Final = {
    "busy_ratio": ("utilisation", "Share of the time that the replica was busy."),
    "frames_in_flight": ("in_flight", "Frames that the replica holds now."),
    "service_seconds": ("service_s", "What a frame takes that is alone, as published to agents."),
    "queue_seconds": ("queue_s", "What a frame that comes now would take longer, as published to agents."),
    "node_busy_ratio": ("node_utilisation", "Share of its machine that is busy, whoever keeps it so."),
    "triton_queue_seconds": ("triton_queue_s", "What a batch waits inside Triton, by Triton's own statistics."),
    "triton_compute_seconds": ("triton_compute_s", "What a batch takes inside Triton, by Triton's own statistics."),
}
"""Gauges of a replica by the field of its load signal."""


class ReplicaBoard(Collector):
    """The last report of each replica."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[ReplicaSeen, float]] = {}

    def note(self, seen: ReplicaSeen) -> None:
        """Take what a replica tells."""
        self._seen[seen.replica] = seen, self._clock()

    def replicas(self) -> list[dict[str, Any]]:
        """Give the replicas that were heard lately, by point, without their agents and metrics."""
        return [
            {
                **to_plain(seen.load),
                "replica": seen.replica,
                "bundle": seen.bundle,
                "frames": seen.frames,
                "frames_s": round(seen.frames_s, 2),
                "streams": seen.streams,
                "age_s": round(age_s, 2),
            }
            for seen, age_s in sorted(self._fresh(), key=lambda fresh: (fresh[0].load.point, fresh[0].replica))
        ]

    def agents(self) -> list[dict[str, Any]]:
        """Give the agents that the replicas saw lately, each once, by where its last frame went; the newest first."""
        joined: dict[DeviceId, dict[str, Any]] = {}
        rows = [
            (replace(agent, quiet_s=agent.quiet_s + age_s), seen)
            for seen, age_s in self._fresh()
            for agent in seen.agents
        ]
        for agent, seen in sorted(rows, key=_last_seen):
            row = joined.setdefault(agent.device, _row(agent, seen))
            row["streams"] += max(agent.streams, 0)
            row["frames"] += agent.frames
            row["refused"] += agent.refused
            row["frames_s"] = round(row["frames_s"] + agent.frames_s, 2)
            row["received_bytes"] += agent.received_bytes
        return list(joined.values())[:MOST_AGENTS]

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of all replicas, with their point and name as labels."""
        families: dict[str, Metric] = {}
        fresh = list(self._fresh())
        for seen, _ in fresh:
            ours = {"point": seen.load.point, "replica": seen.replica}
            for metric in seen.metrics:
                if metric.name not in families:
                    families[metric.name] = Metric(metric.name, metric.says, metric.kind)
                for sample in metric.samples:
                    families[metric.name].add_sample(sample.name, {**ours, **dict(sample.labels)}, sample.value)
        yield from families.values()
        for name, (field, says) in _OF_LOAD.items():
            family = GaugeMetricFamily(f"isthmus_replica_{name}", says, labels=("point", "replica"))
            for seen, _ in fresh:
                family.add_metric((seen.load.point, seen.replica), getattr(seen.load, field))
            yield family

    def registry(self) -> CollectorRegistry:
        """Make a registry of it."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def _fresh(self) -> Iterable[tuple[ReplicaSeen, float]]:
        now_s = self._clock()
        for name, (seen, at_s) in list(self._seen.items()):
            if now_s - at_s > FORGOTTEN_AFTER_S:
                del self._seen[name]
            else:
                yield seen, now_s - at_s


def _last_seen(row: tuple[AgentSeen, ReplicaSeen]) -> tuple[bool, float]:
    """Order by how long an agent was quiet; a stream over which no frame came yet says nothing of its cut."""
    agent, _ = row
    return agent.rate is None, agent.quiet_s


def _row(agent: AgentSeen, seen: ReplicaSeen) -> dict[str, Any]:
    return {
        "device": agent.device,
        "agent": agent.agent,
        "point": seen.load.point if agent.rate is not None else None,
        "rate": agent.rate,
        "replica": seen.replica,
        "quiet_s": round(agent.quiet_s, 2),
        "streams": 0,
        "frames": 0,
        "refused": 0,
        "frames_s": 0.0,
        "received_bytes": 0,
    }
