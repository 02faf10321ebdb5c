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
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from cluster.free_ports import free_ports
from serve_apps.cluster_config import ClusterConfig
from serve_apps.front import Front
from serve_apps.ray_settings import NAMESPACE, close_ray, prepare_ray
from serve_apps.readiness import probe_option
from serve_apps.security_config import LOOPBACK
from serve_apps.token_folder import TokenFolder
from wire.bundle import Bundle
from wire.errors import PortInUse, SettingError
from wire.ids import DeviceId, PointName
from wire.manifest import Option

POINT_TIMEOUT_S: Final = 60.0
OBJECT_STORE_BYTES: Final = 100 * 2**20
PROBE_S: Final = 3600.0
"""For so long the token is good with which the cluster asks itself whether it is ready."""

Stage = Callable[[str], None]
"""Told in a few words what is starting now."""


class LocalCluster:
    """Starts a cluster on entry and stops it on exit."""

    def __init__(self, config: ClusterConfig, *, on_stage: Stage) -> None:
        """Check what can be checked before anything starts.

        Raises:
            BundleError: the bundle is no whole bundle.
            PortInUse: the port is taken; the error says by whom.
            SettingError: the address is not loopback, and no tokens or no TLS keep strangers out; or the profile is of
                another bundle.
        """
        listen, security = config.listen, config.security.beside(Path.cwd())  # replicas run elsewhere
        config = replace(config, security=security)
        security.check(listen.host)
        self._key = TokenFolder(Path(security.tokens)).key() if security.tokens is not None else None
        self._config, self._on_stage = config, on_stage
        Bundle.open(Path(config.bundle), "device")
        self._bundle = Bundle.open(Path(config.bundle), "cluster")
        config.tail.tunings(self._bundle)
        check_port(listen.host, listen.port)
        self._address = (listen.host, listen.port)
        # Serve itself never listens beyond loopback: our front does.
        behind_front = listen.host not in LOOPBACK or security.tls is not None
        self._serve_at = ("127.0.0.1", free_ports(1)[0]) if behind_front else self._address
        self._stack = contextlib.ExitStack()

    @property
    def options(self) -> list[Option]:
        """The options that this cluster answers."""
        wanted = self._config.only
        return [
            option
            for option in self._bundle.manifest.options
            if option.cluster_graph and (not wanted or option.point in wanted)
        ]

    @property
    def points(self) -> list[PointName]:
        """The points of these options, each once."""
        return list(dict.fromkeys(option.point for option in self.options))

    @property
    def url(self) -> str:
        """Where agents come."""
        host, port = self._address
        scheme = "wss" if self._config.security.tls is not None else "ws"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

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
        if self._config.tail.kind.startswith("triton"):
            self._start_triton()
        self._start_serve()
        self._deploy()
        self._on_stage("a frame through every point")
        token = self._own_token()
        for option in self._awake_options():
            probe_option(self._bundle, option, self._serve_at, timeout_s=POINT_TIMEOUT_S, token=token)
        if self._serve_at != self._address:
            front = Front(folder, self._address, self._serve_at[1], self._config.security.tls)
            self._stack.callback(front.stop)
            front.start()

    def _awake_options(self) -> list[Option]:
        """Give the options of the points that do not begin asleep."""
        return [option for option in self.options if self._config.point(option.point).first > 0]

    def _own_token(self) -> str | None:
        if self._key is None:
            return None
        now_s = int(time.time())
        return self._key.sign(
            self._key.claims(DeviceId("isthmus-up"), "operator", issued_s=now_s, expires_s=now_s + int(PROBE_S))
        )

    def _start_ray(self, folder: Path) -> None:
        prepare_ray(folder)
        if self._config.security.tokens is not None:
            close_ray(folder)
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
            http_options={"host": self._serve_at[0], "port": self._serve_at[1]},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        self._stack.callback(serve.shutdown)

    def _start_triton(self) -> None:
        """Have this machine's Triton start while Serve does; a replica would make it otherwise, as on other nodes."""
        from serve_apps.node_triton import node_triton, stop_tritons

        self._stack.callback(stop_tritons)
        node_triton(self._config.tail.external)

    def _deploy(self) -> None:
        from serve_apps.applications import deploy

        self._on_stage(f"the points {', '.join(self.points)}")
        deploy(self._config)


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


def exposed_listeners(but: int | None = None) -> list[str]:
    """Name what this process and its children listen on beyond loopback, ``but`` one port, as ``process:port``."""
    found = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found += [
                f"{process.name()}:{connection.laddr.port}"
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.ip not in LOOPBACK
                and connection.laddr.port != but
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
