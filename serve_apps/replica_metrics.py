"""What a tail replica counts for Prometheus.

Owns the names, units and labels; ``docs/monitoring.md`` lists them. Point and replica are no labels here: whoever joins
the replicas' metrics (``replica_board.py``) adds them. A label never holds what a peer may choose, such as a device.
"""

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from wire.messages import Result

SECONDS_BOUNDS: Final = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5,
)  # fmt: skip
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64)
STAGES: Final = ("decode", "queue", "compute", "total")
ANSWERED: Final = "ok"

disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many series; nobody asks when a counter began


@dataclass(frozen=True, slots=True)
class PlainSample:
    """One sample of a metric."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class PlainMetric:
    """A metric and its samples, as it goes from a replica to the control application."""

    name: str
    says: str
    kind: str
    samples: tuple[PlainSample, ...]


class ReplicaMetrics:
    """Counts what one replica does."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        make = self._counter
        self._frames = make("frames", "Frames answered (code ok) or refused.", "rate", "code")
        self._by_rate: dict[tuple[str, str], Counter] = {}
        seconds = Histogram(
            "isthmus_frame_seconds", "Time of answered frames in the replica, by stage.", ("stage",),
            buckets=SECONDS_BOUNDS, registry=self.registry,
        )  # fmt: skip
        self._decode, self._queue, self._compute, self._total = (seconds.labels(stage) for stage in STAGES)
        self._batch = Histogram(
            "isthmus_frame_batch_frames", "Frames in the batch in which a frame was computed.",
            buckets=BATCH_BOUNDS, registry=self.registry,
        )  # fmt: skip
        self._batches = make("batches", "Batches that were computed.")
        self._received = make("received_bytes", "Received in messages and posts.")
        self._sent = make("sent_bytes", "Sent in messages and posts.")
        self._streams = make("streams", "Streams opened (code ok) or refused.", "code")
        self._streams.labels(ANSWERED)
        self._open = self._gauge("streams_open", "Streams that are open.")
        self._go_aways = make("go_aways", "Agents that were asked to connect again.")
        self._models = self._gauge("models_loaded", "Models that the replica holds.")
        self._triton = self._gauge("replica_triton_up", "0 while the replica's Triton is away; 1 where it has none.")

    def answered(self, rate: str, result: Result) -> None:
        """Count an answered frame."""
        self._count(rate, ANSWERED)
        timings = result.timings
        self._decode.observe(timings.decode_s)
        self._queue.observe(timings.queue_s)
        self._compute.observe(timings.compute_s)
        self._total.observe(timings.total_s)
        self._batch.observe(result.batch_size)
        self._batches.inc(1 / result.batch_size)

    def refused(self, rate: str, code: str) -> None:
        """Count a frame that was refused."""
        self._count(rate, code)

    def moved(self, *, received: int = 0, sent: int = 0) -> None:
        """Count the bytes of messages."""
        self._received.inc(received)
        self._sent.inc(sent)

    def stream_opened(self) -> None:
        """Count a stream that was let in."""
        self._streams.labels(ANSWERED).inc()
        self._open.inc()

    def stream_closed(self) -> None:
        """Count one stream less."""
        self._open.dec()

    def stream_refused(self, code: str) -> None:
        """Count a stream that was not let in, or was cut."""
        self._streams.labels(code).inc()

    def sent_away(self) -> None:
        """Count an agent that was asked to go."""
        self._go_aways.inc()

    def holds_models(self, count: int) -> None:
        """Say how many models the replica holds."""
        self._models.set(count)

    def reaches_triton(self, up: Literal[0, 1]) -> None:
        """Say whether the Triton of the replica's node answers it."""
        self._triton.set(up)

    def plain(self) -> tuple[PlainMetric, ...]:
        """Give all of it as plain values."""
        return tuple(
            PlainMetric(
                metric.name,
                metric.documentation,
                metric.type,
                tuple(
                    PlainSample(sample.name, tuple(sample.labels.items()), sample.value) for sample in metric.samples
                ),
            )
            for metric in self.registry.collect()
        )

    def _count(self, rate: str, code: str) -> None:
        key = rate, code
        counter = self._by_rate.get(key)
        if counter is None:
            counter = self._by_rate[key] = self._frames.labels(rate, code)
        counter.inc()

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"isthmus_{name}", says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str) -> Gauge:
        return Gauge(f"isthmus_{name}", says, registry=self.registry)
