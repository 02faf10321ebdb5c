"""A whole cluster on this machine: Ray, Serve with HAProxy, Triton, the points and the control application.

Owns the order in which they start and stop. It stops what it started, and nothing else.
"""

import contextlib
import errno
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import psutil

from serve_apps.backends import TailKind
from serve_apps.ray_settings import NAMESPACE, prepare_ray
from serve_apps.readiness import probe_option
from wire.bundle import Bundle
from wire.errors import PortInUse, SettingError, TailFailed
from wire.ids import PointName
from wire.manifest import Option

if TYPE_CHECKING:
    from ray.actor import ActorHandle

POINT_TIMEOUT_S: Final = 60.0
OBJECT_STORE_BYTES: Final = 100 * 2**20
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})

Stage = Callable[[str], None]
"""Told in a few words what is starting now."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What `isthmus up` decides before anything starts."""

    bundle: Path
    host: str = "127.0.0.1"
    port: int = 8765
    tail: TailKind = "triton"
    max_batch: int = 16
    points: tuple[str, ...] = ()
    """Serve only these; all of the bundle's when empty."""


class LocalCluster:
    """Starts a cluster on entry and stops it on exit."""

    def __init__(self, settings: ClusterSettings, *, on_stage: Stage) -> None:
        """Check what can be checked before anything starts.

        Raises:
            BundleError: the bundle is no whole bundle.
            PortInUse: the port is taken; the error says by whom.
            SettingError: the address is not loopback, where there is no token yet to keep strangers out.
        """
        if settings.host not in LOOPBACK:
            raise SettingError(
                f"without tokens the cluster does not listen on {settings.host}", mend="use --host 127.0.0.1"
            )
        self._settings, self._on_stage = settings, on_stage
        Bundle.open(settings.bundle, "device")
        self._bundle = Bundle.open(settings.bundle, "cluster")
        check_port(settings.host, settings.port)
        self._stack = contextlib.ExitStack()

    @property
    def options(self) -> list[Option]:
        """The options that this cluster answers."""
        wanted = self._settings.points
        return [
            option
            for option in self._bundle.manifest.options
            if option.cluster_graph and (not wanted or option.point in wanted)
        ]

    @property
    def points(self) -> list[PointName]:
        """The points of these options, each once."""
        return list(dict.fromkeys(option.point for option in self.options))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="isthmus-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._on_stage("Ray")
        self._start_ray(folder)
        # Before Serve, so that it stops after it: replicas give their models back as they stop.
        triton = self._start_triton(folder) if self._settings.tail.startswith("triton") else None
        self._start_serve()
        self._deploy(triton)
        self._on_stage("a frame through every point")
        address = (self._settings.host, self._settings.port)
        for option in self.options:
            probe_option(self._bundle, option, address, timeout_s=POINT_TIMEOUT_S)

    def _start_ray(self, folder: Path) -> None:
        prepare_ray(folder)
        import ray

        ray.init(
            address="local",
            namespace=NAMESPACE,
            num_cpus=max(4, os.cpu_count() or 1),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
        self._stack.callback(ray.shutdown)

    def _start_serve(self) -> None:
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._on_stage("Ray Serve and HAProxy")
        serve.start(
            http_options={"host": self._settings.host, "port": self._settings.port},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        self._stack.callback(serve.shutdown)

    def _start_triton(self, folder: Path) -> "ActorHandle[Any]":
        import ray

        from serve_apps.triton_host import TRITON_HOST

        self._on_stage("Triton")
        triton: ActorHandle[Any] = TRITON_HOST.remote(str(folder / "triton"))
        self._stack.callback(_stop_triton, triton)
        ray.get(triton.address.remote())
        return triton

    def _deploy(self, triton: "ActorHandle[Any] | None") -> None:
        from ray import serve

        from serve_apps.deployments import CONTROL, CONTROL_APP, TAIL, app_name

        settings = self._settings
        points = self.points
        folder = str(settings.bundle.resolve())
        self._on_stage(f"the points {', '.join(points)}")
        control = serve.RunTarget(CONTROL.bind(folder, points), name=CONTROL_APP, route_prefix="/v1")
        tails = [
            serve.RunTarget(
                TAIL.bind(folder, point, settings.tail, triton, settings.max_batch),
                name=app_name(point),
                route_prefix=f"/v1/points/{point}",
            )
            for point in points
        ]
        try:
            serve.run_many([*tails, control])
        except RuntimeError as error:
            raise TailFailed(
                f"a point cannot be served: {error}",
                mend="the reason stands in serve/controller_*.log of Ray, below /tmp/ray/session_latest/logs",
            ) from error


def check_port(host: str, port: int) -> None:
    """Refuse a port that somebody holds.

    Raises:
        PortInUse: it names the process that listens there, where that can be seen.
        SettingError: it cannot be listened on for another reason.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingError(
                    f"{host}:{port} cannot be listened on: {error}", mend="give another --port"
                ) from error
            raise PortInUse(
                f"{host}:{port} is held by {_holder(port)}", mend="stop it, or give another --port"
            ) from error


def exposed_listeners() -> list[str]:
    """Name what this process and its children listen on beyond loopback, as ``process:port``."""
    found = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found += [
                f"{process.name()}:{connection.laddr.port}"
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.ip not in LOOPBACK
            ]
    return sorted(set(found))


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("inet"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another process"


def _stop_triton(triton: "ActorHandle[Any]") -> None:
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(triton.stop.remote(), timeout=20)
