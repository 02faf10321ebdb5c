"""A connection to Ray for work that is not served: a cluster is joined, or started and stopped again.

Owns which of the two, and that a cluster that refuses us is no reason to start another beside it. One of the few files
that import Ray.
"""

import contextlib
import logging
import os
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import ray

# Private, of the one version of Ray that we pin: without it a cluster that died unasked cannot be told from a slow one.
from ray._private.services import canonicalize_bootstrap_address

from serve_apps.ray_settings import NAMESPACE, prepare_ray
from wire.errors import ClusterUnreachable

JOIN_OR_START: Final = "auto"
START: Final = "local"
KNOCK_TIMEOUT_S: Final = 5.0
OOM_TRIES_MORE: Final = 1
OBJECT_STORE_BYTES: Final = 100 * 2**20


class RayConnection:
    """Connects on entry; on exit leaves a cluster that was joined, and stops one that was started.

    A process that is connected already stays so, and nothing is stopped.
    """

    def __init__(self, address: str = JOIN_OR_START) -> None:
        """Take ``HOST:PORT``, ``local`` to start a cluster, or ``auto`` to start one where none runs here."""
        self._address = address
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            ClusterUnreachable: the cluster is not there, or refuses us.
        """
        if not ray.is_initialized():
            try:
                self._connect()
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _connect(self) -> None:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="isthmus-"))
        prepare_ray(Path(folder))
        self._stack.callback(ray.shutdown)
        address = _running_address() if self._address == JOIN_OR_START else self._address
        if address is None or address == START:
            self._start()
        else:
            self._join(address)

    def _join(self, address: str) -> None:
        try:
            _knock(address)
            self._init(address=address)
        except (OSError, RuntimeError, ValueError) as error:  # a ConnectionError is an OSError
            raise ClusterUnreachable(
                f"the Ray cluster {address} cannot be joined: {error}",
                mend="run this on a node of the cluster, with its versions of Ray and Python, and with its "
                "RAY_AUTH_MODE where it asks for a token; or give --ray-address local",
            ) from error

    def _start(self) -> None:
        self._init(
            address="local",
            num_cpus=os.cpu_count() or 1,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            # Ray would try a task that takes too much memory again for ever.
            _system_config={"task_oom_retries": OOM_TRIES_MORE},
        )

    def _init(self, **settings: Any) -> None:
        ray.init(namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False, **settings)


def _running_address() -> str | None:
    """Find a cluster that runs on this machine; one that died leaves its address behind, where nobody listens."""
    try:
        address: str | None = canonicalize_bootstrap_address("auto")
        if address is not None:
            _knock(address)
    except OSError:
        return None
    return address


def _knock(address: str) -> None:
    """Open and close a connection: Ray itself would try for ten minutes where nobody listens.

    Raises:
        OSError, ValueError: nobody does, or the address is none.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=KNOCK_TIMEOUT_S).close()
