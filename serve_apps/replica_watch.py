"""What is told of a replica's frames beside their answers: metrics, the agents seen, logs, and traces where wanted.

Owns which of them hears of what; the web side calls it. Imports no Ray.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import structlog

from serve_apps.agents_seen import AgentSeen, AgentsSeen
from serve_apps.logs import get_logger
from serve_apps.replica_metrics import PlainMetric, ReplicaMetrics
from wire.bundle import Bundle
from wire.errors import IsthmusError
from wire.ids import BundleDigest, OptionId, PointName
from wire.messages import Frame, Hello, LoadSignal, Reject, Result
from wire.trace_ids import session_of

if TYPE_CHECKING:
    from serve_apps.tracing import ReplicaTraces

REPORT_EVERY_S: Final = 2.0
UNKNOWN: Final = "unknown"
"""The rate of an option that the bundle does not have."""

log = get_logger("isthmus.tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSeen:
    """What a replica tells the control application now and then, for people and for Prometheus."""

    replica: str
    bundle: BundleDigest
    load: LoadSignal
    frames: int
    """Answered or refused since it began."""
    frames_s: float
    """A second since the report before."""
    streams: int
    agents: tuple[AgentSeen, ...]
    metrics: tuple[PlainMetric, ...]


class ReplicaWatch:
    """Watches one replica."""

    def __init__(self, point: PointName, replica_id: str, traces: "ReplicaTraces | None" = None) -> None:
        self.metrics = ReplicaMetrics()
        self._point, self._replica_id, self._traces = point, replica_id, traces
        self._agents = AgentsSeen(time.monotonic())
        self._frames = self._streams = 0
        self._reported = (0, time.monotonic())

    @classmethod
    def make(cls, point: PointName, replica_id: str, trace: str | None) -> Self:
        """Make one that writes its spans to ``trace``, if that is a file or a collector.

        Raises:
            SettingError: spans cannot be written there.
        """
        if trace is None:
            return cls(point, replica_id)
        from serve_apps.tracing import SERVICE, ReplicaTraces
        from wire.trace_export import TraceWriter

        return cls(point, replica_id, ReplicaTraces(TraceWriter(trace, SERVICE), point, replica_id))

    def close(self) -> None:
        """Write the spans that wait."""
        if self._traces is not None:
            self._traces.close()

    @contextmanager
    def stream(self, hello: Hello, bundle: Bundle) -> "Iterator[StreamWatch]":
        """Watch a stream that was greeted, while the context lasts."""
        self.metrics.stream_opened()
        self._streams += 1
        self._agents.opened(hello.device_id, hello.agent, time.monotonic())
        # Of this task and of those that it starts: every line that they write says which device it is about.
        structlog.contextvars.bind_contextvars(device=hello.device_id)
        log.info("stream.opened", agent=hello.agent)
        try:
            yield StreamWatch(self, hello, bundle)
        finally:
            self._streams -= 1
            self.metrics.stream_closed()
            self._agents.closed(hello.device_id)
            log.info("stream.closed")

    def refused_stream(self, error: IsthmusError) -> None:
        """Note that a stream was not let in, or was cut."""
        self.metrics.stream_refused(error.code)
        log.info("stream.refused", code=error.code, error=error.message)

    def posted(
        self, bundle: Bundle, answer: Result | Reject, option_id: OptionId | None = None, *, received: int, sent: int
    ) -> None:
        """Note a frame that was posted, with the bytes of both bodies."""
        wanted = answer.option_id if isinstance(answer, Result) else option_id
        rate = next((option.rate for option in bundle.manifest.options if option.id == wanted), UNKNOWN)
        self.answered(rate, answer.frame_id, answer)
        self.metrics.moved(received=received, sent=sent)

    def refused_post(self, error: IsthmusError) -> None:
        """Note a post that was no frame, or none that was let in."""
        self._frames += 1
        self.metrics.refused(UNKNOWN, error.code)
        log.info("post.refused", code=error.code, error=error.message)

    def answered(self, rate: str, frame_id: int | None, answer: Result | Reject) -> None:
        """Note one answer of a frame, however it came."""
        self._frames += 1
        if isinstance(answer, Reject):
            self.metrics.refused(rate, answer.code)
            log.info("frame.refused", frame=frame_id, rate=rate, code=answer.code, error=answer.message)
        else:
            self.metrics.answered(rate, answer)

    def report(self, bundle: BundleDigest, load: LoadSignal) -> ReplicaSeen:
        """Say what was seen, and what since the last report."""
        now_s = time.monotonic()
        frames, since_s = self._reported
        self._reported = self._frames, now_s
        return ReplicaSeen(
            replica=self._replica_id,
            bundle=bundle,
            load=load,
            frames=self._frames,
            frames_s=(self._frames - frames) / max(now_s - since_s, 1e-3),
            streams=self._streams,
            agents=self._agents.report(now_s),
            metrics=self.metrics.plain(),
        )

    def note_agent(self, hello: Hello, rate: str, size_bytes: int, answer: Result | Reject) -> None:
        """Note a frame of an agent that holds a stream."""
        refused = isinstance(answer, Reject)
        self._agents.frame(hello.device_id, rate, size_bytes, time.monotonic(), refused=refused)

    @property
    def traces(self) -> "ReplicaTraces | None":
        """What writes spans; None where frames are not traced."""
        return self._traces


class StreamWatch:
    """Watches one stream."""

    def __init__(self, watch: ReplicaWatch, hello: Hello, bundle: Bundle) -> None:
        self._watch, self._hello = watch, hello
        self._rates = rates_of(bundle)
        # Frames that their agent does not trace get a session of their own, that only this side knows.
        self._session = session_of(hello.agent) or f"{time.time_ns():016x}"[-16:]

    def answered(
        self, frame: Frame, answer: Result | Reject, *, received: int, sent: int, received_s: float, answered_s: float
    ) -> None:
        """Note a frame whose answer was sent: the bytes both ways, and in Unix seconds when it came and was ready."""
        watch, rate = self._watch, self._rates.get(frame.option_id, UNKNOWN)
        watch.answered(rate, frame.frame_id, answer)
        watch.metrics.moved(received=received, sent=sent)
        watch.note_agent(self._hello, rate, received, answer)
        if watch.traces is not None:
            watch.traces.frame(
                self._hello.device_id,
                self._session,
                frame,
                answer,
                received_s=received_s,
                answered_s=answered_s,
                sent_s=time.time(),
            )


def rates_of(bundle: Bundle) -> dict[OptionId, str]:
    """Give the rate of every option of a bundle."""
    return {option.id: option.rate for option in bundle.manifest.options}
