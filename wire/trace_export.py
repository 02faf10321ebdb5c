"""Where spans go: lines of JSON in a file, or an OpenTelemetry collector.

The one file that makes OpenTelemetry's tracer, for both sides; it is imported only where ``--trace`` is given.
"""

from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer, set_span_in_context

from wire.errors import SettingError
from wire.trace_ids import FrameTrace

EVERY_MS: Final = 1000
"""How often spans are written, in a thread of their own."""
OTLP_PATH: Final = "/v1/traces"
MAX_WAITING: Final = 16384
"""Spans that may wait to be written; what comes on top is dropped, and frames never wait."""


class FrameIds(RandomIdGenerator):
    """Gives random ids, but the next trace and its first span are those of ``begin``; for one thread."""

    def __init__(self) -> None:
        self._next: FrameTrace | None = None
        self._span: FrameTrace | None = None

    def begin(self, trace: FrameTrace) -> None:
        """Have the next span without a parent be the first one of this trace."""
        self._next = trace

    def generate_trace_id(self) -> int:
        """Give the id of the trace that begins."""
        self._span, self._next = self._next, None
        return self._span.trace_id if self._span is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Give the id of its first span, once."""
        first, self._span = self._span, None
        return first.span_id if first is not None else super().generate_span_id()


class TraceWriter:
    """Makes spans and writes them, until it is closed."""

    def __init__(self, target: str, service: str) -> None:
        """Open a target: ``http://`` or ``https://`` for a collector that speaks OTLP, or a file that is added to.

        Raises:
            SettingError: it cannot be written to, or OTLP's exporter is not installed.
        """
        self._file: TextIO | None = None
        self.ids = FrameIds()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}), id_generator=self.ids, shutdown_on_exit=False
        )
        processor = BatchSpanProcessor(
            self._exporter(target), schedule_delay_millis=EVERY_MS, max_queue_size=MAX_WAITING
        )
        self._provider.add_span_processor(processor)
        self.tracer: Tracer = self._provider.get_tracer("isthmus")

    def close(self) -> None:
        """Write what waits, and close."""
        self._provider.shutdown()
        if self._file is not None:
            self._file.close()

    def _exporter(self, target: str) -> SpanExporter:
        if target.startswith(("http://", "https://")):
            return _otlp(target)
        try:
            # Processes that add to one file do not mix, since a line is written in one go.
            self._file = Path(target).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - `close` closes it
        except OSError as error:
            raise SettingError(f"{target} cannot be written: {error}", mend="give another file with --trace") from error
        return ConsoleSpanExporter(out=self._file, formatter=_as_line)


def below(trace: FrameTrace) -> Context:
    """Give the context of spans that hang under the first span of a trace, which the other side makes."""
    parent = SpanContext(trace.trace_id, trace.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _as_line(span: ReadableSpan) -> str:
    return span.to_json(indent=None) + "\n"


def _otlp(url: str) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SettingError(
            f"spans cannot be sent to {url}: OTLP's exporter is not installed", mend="pip install 'isthmus[otlp]'"
        ) from error
    # A collector's address alone is enough, as for OpenTelemetry's own variables.
    path = "" if urlsplit(url).path.strip("/") else OTLP_PATH
    return OTLPSpanExporter(endpoint=url.rstrip("/") + path)
