"""What an agent counts for Prometheus: a report that turns answers and events into metrics.

Owns the names, units and labels; ``docs/monitoring.md`` lists them. Imported only where metrics are asked for: the
library takes 13 ms and 1 MB. Labels are of the bundle's options and of a few words, never of the device: Prometheus
itself names that by the address that it scrapes.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from device_agent.answer import FrameAnswer, Parts
from device_agent.frame_feed import SkipReason
from device_agent.link_view import LinkView
from wire.manifest import Option

LATENCY_BOUNDS_S: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
LIMITS: Final = ("deadline", "drop", "energy", "cluster time", "bytes")
"""All that a plan may fail to keep, so that each has its series from the start."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many series; nobody asks when a counter began


class AgentMetrics:
    """Counts what one run of an agent does; everything is told on the agent's own thread and read on another."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._make_counts()
        self._make_gauges()
        self._planned: Option | None = None
        self._reads: tuple[Callable[[], LinkView], Callable[[], Mapping[str, int]], Callable[[], int]] | None = None
        self._known: dict[str, int] = {}

    def watch(
        self,
        *,
        link: Callable[[], LinkView],
        skipped: Callable[[], Mapping[str, int]],
        late_dropped: Callable[[], int],
    ) -> None:
        """Take also, with every frame, what the answers do not say."""
        self._reads = link, skipped, late_dropped

    def frame(self, answer: FrameAnswer) -> None:
        """Count one answer."""
        option, planned = answer.option, answer.planned
        self._frames.labels(answer.where, option.point, option.rate, answer.fallback or "none").inc()
        self._seconds.observe(answer.latency_s)
        for part in Parts.__slots__:
            self._parts[part].inc(getattr(answer.parts, part))
        self._overhead.inc(answer.overhead_s)
        self._missed.inc(not answer.in_time)
        for limit in answer.broken:
            self._broken.labels(limit).inc()
        self._sent.inc(answer.sent_bytes)
        self._moved.inc(answer.moved_bytes)
        self._looks.inc(answer.looks)
        self._energy.inc(answer.energy_j)
        self._predicted.inc(answer.predicted.total_s)
        self._choose(planned)
        self._read_rest(answer)

    def event(self, plain: dict[str, Any]) -> None:
        """Count what happened to the link, and to the bundle."""
        match plain["event"]:
            case "agent.started":
                names = {name: str(plain[name]) for name in ("agent", "policy", "backbone")}
                self._info.labels(**names, bundle=str(plain["bundle"])[:12]).set(1)
            case "cluster.unreachable":
                self._up.set(0)
            case "link.down":
                self._outages.inc()
                self._up.set(0)
            case "link.up":
                self._up.set(1)
            case "bundle.swapped":
                self._swaps.inc()

    def summary(self, plain: dict[str, Any]) -> None:
        """Nothing is left to be counted."""

    def _choose(self, planned: Option) -> None:
        before = self._planned
        if before is None or planned.id != before.id:
            self._switches.inc(before is not None)
            self._option.clear()
            self._option.labels(planned.point, planned.codec, planned.rate).set(1)
            self._planned = planned

    def _read_rest(self, answer: FrameAnswer) -> None:
        if answer.bandwidth_bytes_s is not None:
            self._bandwidth.set(answer.bandwidth_bytes_s)
        if self._reads is None:
            return
        link, skipped, late_dropped = self._reads
        self._base_delay.set(link().base_s)
        self._raise_to(self._late, "late", late_dropped())
        for reason, count in skipped().items():
            self._raise_to(self._skipped.labels(reason), reason, count)

    def _raise_to(self, counter: Counter, name: str, count: int) -> None:
        """Bring a counter to a count that is kept elsewhere."""
        counter.inc(count - self._known.get(name, 0))
        self._known[name] = count

    def _make_counts(self) -> None:
        self._frames = self._counter("frames", "Frames answered.", "where", "point", "rate", "fallback")
        self._seconds = Histogram(
            "isthmus_agent_frame_seconds", "From a frame's due time to its answer.",
            buckets=LATENCY_BOUNDS_S, registry=self.registry,
        )  # fmt: skip
        parts = self._counter("part_seconds", "Where the time of frames went.", "part")
        self._parts = {part: parts.labels(part) for part in Parts.__slots__}
        self._overhead = self._counter("overhead_seconds", "The agent's own time: planner and messages.")
        self._predicted = self._counter("predicted_seconds", "What the planner predicted of the frames' latency.")
        self._missed = self._counter("deadline_misses", "Frames answered after their deadline.")
        self._broken = self._counter("broken_limits", "Limits that a frame's plan could not keep.", "limit")
        for limit in LIMITS:
            self._broken.labels(limit)
        self._sent = self._counter("sent_bytes", "Sent to the cluster with frames.")
        self._moved = self._counter("moved_bytes", "Both ways, of all messages of frames.")
        self._looks = self._counter("looks", "Exchanges with the cluster that were begun for frames.")
        self._energy = self._counter("energy_joules", "Of processor and radio for frames, by the energy model.")
        self._switches = self._counter("switches", "Frames whose option was another than that of the frame before.")
        self._skipped = self._counter("skipped_frames", "Frames of the source that were never begun.", "reason")
        for reason in get_args(SkipReason):
            self._skipped.labels(reason)
        self._late = self._counter("late_results", "Results that came after their frame had been answered.")
        self._outages = self._counter("link_outages", "Times that the link went down.")
        self._swaps = self._counter("bundle_swaps", "Times that another bundle was taken into use.")

    def _make_gauges(self) -> None:
        self._bandwidth = self._gauge("link_bandwidth_bytes_per_second", "Of the link, as estimated.")
        self._base_delay = self._gauge("link_base_delay_seconds", "Round trip of an empty message, as estimated.")
        self._up = self._gauge("link_up", "1 while the link is up.")
        self._up.set(1)
        self._option = self._gauge("option_info", "1 for the option planned last.", "point", "codec", "rate")
        self._info = self._gauge("info", "1; what runs.", "agent", "policy", "bundle", "backbone")

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"isthmus_agent_{name}", says, labels, registry=self.registry)

    def _gauge(self, name: str, says: str, *labels: str) -> Gauge:
        return Gauge(f"isthmus_agent_{name}", says, labels, registry=self.registry)
