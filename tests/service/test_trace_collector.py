"""Spans reach a collector that speaks OTLP, over a real socket."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from wire.ids import DeviceId
from wire.trace_export import OTLP_PATH, TraceWriter
from wire.trace_ids import frame_trace

pytestmark = pytest.mark.service


class Collector(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_collector_is_sent_what_waits_when_the_writer_closes(collector: Collector) -> None:
    writer = TraceWriter(f"http://127.0.0.1:{collector.server_port}", "isthmus-agent")
    trace = frame_trace(DeviceId("cam"), "0" * 16, 7)
    writer.ids.begin(trace)
    writer.tracer.start_span("frame", Context()).end()
    writer.close()
    ((path, body),) = collector.posted
    request = ExportTraceServiceRequest.FromString(body)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert path == OTLP_PATH
    assert (span.name, int.from_bytes(span.trace_id), int.from_bytes(span.span_id)) == (
        "frame", trace.trace_id, trace.span_id,
    )  # fmt: skip
