"""What operators read of a running cluster: metrics for Prometheus, replicas and agents for people.

Owns ``/v1/metrics``, ``/v1/replicas`` and ``/v1/agents``, and what the control application counts of itself. Imports no
Ray.
"""

from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_apps.guard import Guard, error_response
from serve_apps.replica_board import ReplicaBoard
from wire.errors import IsthmusError
from wire.messages import PROTOCOL_VERSION, LoadSignal

ROUTES: Final = ("version", "healthz", "load", "wake", "update", "bundle", "metrics", "replicas", "agents")
"""What requests are counted by; all the rest is ``other``."""
_OF_POINT: Final = {
    "replicas": ("replicas", "Replicas that the point has."),
    "busy_ratio": ("utilisation", "Share of the time that its replicas were busy."),
    "service_seconds": ("service_s", "What a frame takes that is alone, as published to agents."),
    "queue_seconds": ("queue_s", "What a frame that comes now would take longer, as published to agents."),
    "frames_in_flight": ("in_flight", "Frames that its replicas hold now."),
    "cold_start_seconds": ("cold_start_s", "Expected until a point without replicas answers."),
}
"""Gauges of a point by the field of its load signal."""
_STATES: Final = {"ready": "1 where the point takes frames.", "cold": "1 where the point sleeps, without a replica."}

disable_created_metrics()  # type: ignore[no-untyped-call]  # half as many series; nobody asks when a counter began

ReadSignals = Callable[[], Awaitable[list[LoadSignal]]]
Read = Callable[[Request], Awaitable[Response]]


class ControlWatch:
    """Answers operators, and counts what the control application is asked."""

    def __init__(
        self, board: ReplicaBoard, read_signals: ReadSignals, guard: Guard, *, newest: Callable[[], str]
    ) -> None:
        """Take the board, how the points stand, who may ask, and what gives the digest of the newest bundle."""
        self._board, self._read_signals, self._guard, self._newest = board, read_signals, guard, newest
        self._points = _Points()
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "isthmus_control_requests", "Requests to the control application.", ("route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._agents = Gauge("isthmus_agents", "Agents seen in the last minute.", registry=self.registry)
        self._info = Gauge("isthmus_info", "1; what runs.", ("version", "protocol", "bundle"), registry=self.registry)
        self.registry.register(self._points)
        self.registry.register(board)
        self.routes = [
            Route("/metrics", self._for_operators(self._metrics)),
            Route("/replicas", self._for_operators(self._replicas)),
            Route("/agents", self._for_operators(self._list_agents)),
        ]

    def counted(self, app: ASGIApp) -> ASGIApp:
        """Put the count of requests before an application."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            first = scope["path"].removeprefix(scope.get("root_path", "")).split("/", 2)[1:2]
            route = first[0] if first and first[0] in ROUTES else "other"

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(route, str(message["status"])).inc()
                await send(message)

            await app(scope, receive, noting)

        return counting

    def _for_operators(self, read: Read) -> Read:
        """Keep devices out: what others do is none of their business."""

        async def guarded(request: Request) -> Response:
            try:
                self._guard.operator(request)
            except IsthmusError as error:
                return error_response(error)
            return await read(request)

        return guarded

    async def _metrics(self, _: Request) -> Response:
        self._points.signals = await self._read_signals()
        self._info.clear()
        self._info.labels(version("isthmus"), str(PROTOCOL_VERSION), self._newest()[:12]).set(1)
        self._agents.set(len(self._board.agents()))
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    async def _replicas(self, _: Request) -> Response:
        return JSONResponse({"replicas": self._board.replicas()})

    async def _list_agents(self, _: Request) -> Response:
        return JSONResponse({"agents": self._board.agents()})


class _Points(Collector):
    """The points as their load signals say they stand."""

    def __init__(self) -> None:
        self.signals: list[LoadSignal] = []

    def collect(self) -> Iterable[Metric]:
        for name, (field, says) in _OF_POINT.items():
            family = GaugeMetricFamily(f"isthmus_point_{name}", says, labels=("point",))
            for signal in self.signals:
                family.add_metric((signal.point,), getattr(signal, field))
            yield family
        for state, says in _STATES.items():
            family = GaugeMetricFamily(f"isthmus_point_{state}", says, labels=("point",))
            for signal in self.signals:
                family.add_metric((signal.point,), float(signal.state == state))
            yield family
