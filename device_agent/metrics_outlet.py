"""How an agent's metrics leave it: Prometheus fetches them, or they are pushed to a gateway.

Owns the thread and the socket. Imported only where metrics are asked for.
"""

import threading
from types import TracebackType
from typing import Final, Self
from urllib.error import URLError

import structlog
from prometheus_client import CollectorRegistry, push_to_gateway, start_http_server

from wire.errors import PortInUse
from wire.ids import DeviceId

PUSH_EVERY_S: Final = 10.0
PUSH_TIMEOUT_S: Final = 5.0
JOB: Final = "isthmus-agent"

log = structlog.get_logger()


class MetricsServer:
    """Answers ``GET /metrics`` while it is open."""

    def __init__(self, registry: CollectorRegistry, *, host: str, port: int) -> None:
        """Listen.

        Raises:
            PortInUse: the address cannot be listened on.
        """
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise PortInUse(
                f"metrics cannot be served on {host}:{port}: {error}", mend="give another --metrics-port"
            ) from error
        self.port = self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MetricsPusher:
    """Pushes to a Pushgateway every so often while it is open, and once more when it closes."""

    def __init__(self, registry: CollectorRegistry, url: str, device_id: DeviceId) -> None:
        self._registry, self._url = registry, url
        # A gateway keeps one group for each; without it, devices would overwrite each other.
        self._grouping = {"instance": str(device_id)}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="isthmus-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while True:
            stopped = self._stop.wait(PUSH_EVERY_S)
            try:
                push_to_gateway(self._url, JOB, self._registry, self._grouping, timeout=PUSH_TIMEOUT_S)
                failing = False
            except (URLError, OSError, ValueError) as error:
                # Frames matter more than their metrics; one line for each time that it begins to fail.
                if not failing:
                    log.warning("metrics.not_pushed", gateway=self._url, error=str(error))
                failing = True
            if stopped:
                return
