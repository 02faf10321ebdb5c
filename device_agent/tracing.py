"""A frame's life on the device as OpenTelemetry spans: a report that turns answers into spans.

Owns which spans a frame has. Imported only where ``--trace`` is given. They are made when the frame is answered, from
the durations in its answer, laid one after another: those of further looks are joined to those of the first.
"""

from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, set_span_in_context

from device_agent.answer import FrameAnswer, option_name
from wire.ids import DeviceId
from wire.trace_export import TraceWriter
from wire.trace_ids import frame_trace

SERVICE: Final = "isthmus-agent"


class FrameTraces:
    """Writes the spans of every frame of one run."""

    def __init__(self, writer: TraceWriter, device_id: DeviceId, session: str) -> None:
        self._writer, self._device_id, self._session = writer, device_id, session

    def frame(self, answer: FrameAnswer) -> None:
        """Write the spans of one frame: ``frame``, and below it what it consists of."""
        tracer = self._writer.tracer
        self._writer.ids.begin(frame_trace(self._device_id, self._session, answer.frame))
        root = tracer.start_span(
            "frame", Context(), attributes=self._attributes(answer), start_time=_ns(answer.due_unix_s)
        )
        below = set_span_in_context(root, Context())
        for name, begin_s, end_s in spans_of(answer):
            kind = SpanKind.CLIENT if name == "send" else SpanKind.INTERNAL
            tracer.start_span(name, below, kind=kind, start_time=_ns(begin_s)).end(_ns(end_s))
        root.end(_ns(answer.unix_s))

    def event(self, plain: dict[str, Any]) -> None:
        """Leave events to the other reports."""

    def summary(self, plain: dict[str, Any]) -> None:
        """Leave the summary to the other reports."""

    def _attributes(self, answer: FrameAnswer) -> dict[str, Any]:
        return {
            "isthmus.device": self._device_id,
            "isthmus.session": self._session,
            "isthmus.frame": answer.frame,
            "isthmus.option": option_name(answer.option),
            "isthmus.planned": option_name(answer.planned),
            "isthmus.where": answer.where,
            "isthmus.fallback": answer.fallback or "",
            "isthmus.sent_bytes": answer.sent_bytes,
            "isthmus.looks": answer.looks,
            "isthmus.in_time": answer.in_time,
            "isthmus.link_s": answer.parts.link,
            "isthmus.cluster_s": answer.parts.cluster,
            "isthmus.predicted_s": float(answer.predicted.total_s),
        }


def spans_of(answer: FrameAnswer) -> list[tuple[str, float, float]]:
    """Give name, beginning and end, in Unix seconds, of the spans below a frame's first one.

    The device's own answer ends with the frame: it runs beside what is sent.
    """
    parts = answer.parts
    sent = answer.planned.coder != "none"
    found = []
    at_s = answer.due_unix_s
    for name, took_s in (
        ("wait", parts.wait),
        ("plan", answer.overhead_s),
        ("head" if sent else "local", parts.device),
        ("encode", parts.code),
        ("send", parts.link + parts.cluster),
    ):
        if took_s > 0:
            found.append((name, at_s, at_s + took_s))
            at_s += took_s
    if parts.local > 0:
        found.append(("local", answer.unix_s - parts.local, answer.unix_s))
    return found


def _ns(unix_s: float) -> int:
    return int(unix_s * 1e9)
