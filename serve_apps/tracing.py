"""A frame's life on the cluster as OpenTelemetry spans.

Owns which spans a frame has there. Imported only where frames are traced. They are made when the answer has been sent,
from the times in it: ``admit`` and ``reply`` are what lies before and behind them.
"""

from typing import Any, Final

from opentelemetry.trace import SpanKind, set_span_in_context

from wire.ids import DeviceId, PointName
from wire.messages import Frame, Reject, Result
from wire.trace_export import TraceWriter, below
from wire.trace_ids import frame_trace

SERVICE: Final = "isthmus-replica"


class ReplicaTraces:
    """Writes the spans of the frames that one replica is sent."""

    def __init__(self, writer: TraceWriter, point: PointName, replica_id: str) -> None:
        self._writer = writer
        self._fixed = {"isthmus.point": point, "isthmus.replica": replica_id}

    def frame(
        self,
        device: DeviceId,
        session: str,
        frame: Frame,
        answer: Result | Reject,
        *,
        received_s: float,
        answered_s: float,
        sent_s: float,
    ) -> None:
        """Write the spans of one frame, below the agent's first one; the times are Unix seconds."""
        attributes: dict[str, Any] = {
            **self._fixed,
            "isthmus.device": device,
            "isthmus.frame": frame.frame_id,
            "isthmus.option": frame.option_id,
            "isthmus.received_bytes": len(frame.bitstream),
            "isthmus.code": answer.code if isinstance(answer, Reject) else "ok",
        }
        if isinstance(answer, Result):
            attributes["isthmus.batch_frames"] = answer.batch_size
        tracer = self._writer.tracer
        whole = tracer.start_span(
            "tail",
            below(frame_trace(device, session, frame.frame_id)),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=_ns(received_s),
        )
        inside = set_span_in_context(whole)
        for name, begin_s, end_s in spans_of(answer, received_s, answered_s, sent_s):
            tracer.start_span(name, inside, start_time=_ns(begin_s)).end(_ns(end_s))
        whole.end(_ns(sent_s))

    def close(self) -> None:
        """Write what waits, and close."""
        self._writer.close()


def spans_of(
    answer: Result | Reject, received_s: float, answered_s: float, sent_s: float
) -> list[tuple[str, float, float]]:
    """Give name, beginning and end of the spans of one frame: what it waited for, and what was done to it."""
    if isinstance(answer, Reject):
        return [("admit", received_s, answered_s), ("reply", answered_s, sent_s)]
    timings = answer.timings
    at_s = max(answered_s - timings.total_s, received_s)
    spans = [("admit", received_s, at_s)]
    for name, took_s in (("decode", timings.decode_s), ("queue", timings.queue_s), ("compute", timings.compute_s)):
        spans.append((name, at_s, at_s + took_s))
        at_s += took_s
    return [*spans, ("reply", max(at_s, received_s), max(sent_s, at_s))]


def _ns(unix_s: float) -> int:
    return int(unix_s * 1e9)
