"""The Ray Serve deployments: one application for each partition point, and the control application.

Owns what Serve calls. One of the few files that import Ray; everything behind it is testable without.
"""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from ray import serve
from ray.actor import ActorHandle
from ray.serve.deployment import Deployment
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from cluster.triton.client import TritonClient
from cluster.triton.repository import Backend, ModelSpec
from serve_apps.backends import NoopBackend, OnnxBackend, TailBackend, TailKind, TritonBackend
from serve_apps.control import ControlWeb
from serve_apps.tail import MAX_BATCH, Tail
from serve_apps.tail_web import TailWeb
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.ids import PointName
from wire.messages import LoadSignal
from wire.records import from_plain, to_plain
from wire.tensor_form import TensorForm

MAX_STREAMS: Final = 1000
"""A WebSocket holds one of Serve's slots for as long as it lives, so this bounds the agents of a replica."""
LOAD_MEMORY_S: Final = 0.5
CONTROL_APP: Final = "control"
STOP_S: Final = 5.0


def app_name(point: str) -> str:
    """Name the Serve application of a point."""
    return f"point-{point}"


class TailReplica:
    """One replica of one point's tail."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, bundle: str, point: str, kind: TailKind, triton: ActorHandle[Any] | None, max_batch: int = MAX_BATCH
    ) -> None:
        self._stack = AsyncExitStack()
        self._triton = triton
        self._client: TritonClient | None = None
        if triton is not None:
            self._client = await self._stack.enter_async_context(TritonClient(await _of(triton.address.remote())))
        opened = await asyncio.to_thread(Bundle.open, Path(bundle), "cluster")
        self._classes = len(opened.labels())

        def make_backend(graph: str, form: TensorForm) -> TailBackend:
            return self._backend(opened, graph, form, kind, max_batch)

        replica = serve.get_replica_context().replica_id.unique_id
        tail = Tail(opened, PointName(point), make_backend, replica_id=replica, max_batch=max_batch)
        self._tail = await self._stack.enter_async_context(tail)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Give Serve the application that answers this replica's requests."""
        return TailWeb(self._tail).asgi

    async def __del__(self) -> None:
        """Give the models back when Serve stops the replica; Serve may ask twice."""
        await self._stack.aclose()

    async def load(self) -> dict[str, Any]:
        """Say how this replica stands."""
        return to_plain(self._tail.load())

    def _backend(self, bundle: Bundle, graph: str, form: TensorForm, kind: TailKind, max_batch: int) -> TailBackend:
        path = bundle.path(graph)
        if kind == "noop":
            return NoopBackend(self._classes)
        if kind == "onnxruntime":
            return OnnxBackend(path, threads=1)
        if self._triton is None or self._client is None:
            raise SettingError(f"a tail of kind {kind} needs a Triton")
        backend: Backend = "noop" if kind == "triton-noop" else "python"
        # A graph goes by the first option that has it: a path is no name for a model.
        first = min(option.id for option in bundle.manifest.options if option.cluster_graph == graph)
        spec = ModelSpec(
            name=f"{bundle.digest[:12]}-{first}-{backend}-{max_batch}",
            graph=path,
            form=form,
            classes=self._classes,
            max_batch=max_batch,
            backend=backend,
        )
        triton = self._triton

        async def acquire(spec: ModelSpec) -> None:
            await _of(triton.acquire.remote(spec))

        async def release(name: str) -> None:
            await _of(triton.release.remote(name))

        return TritonBackend(spec, self._client, acquire=acquire, release=release)


class ControlReplica:
    """The control application's replica."""

    async def __init__(self, bundle: str, points: list[str]) -> None:  # type: ignore[misc]  # Serve awaits it
        folder = Path(bundle)
        self._bundle = await asyncio.to_thread(Bundle.open, folder, "device")
        self._points = points
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._signals: list[LoadSignal] = []
        self._read_at = float("-inf")

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Give Serve the application that answers this replica's requests."""
        return ControlWeb(self._bundle, self._read_load).asgi

    async def _read_load(self) -> list[LoadSignal]:
        """Ask every point at most twice a second, however many ask us."""
        if time.monotonic() - self._read_at > LOAD_MEMORY_S:
            plain = await asyncio.gather(*(self._handle(point).load.remote() for point in self._points))
            self._signals = [from_plain(LoadSignal, signal, "load") for signal in plain]
            self._read_at = time.monotonic()
        return self._signals

    def _handle(self, point: str) -> DeploymentHandle[Any]:
        if point not in self._handles:
            self._handles[point] = serve.get_app_handle(app_name(point))
        return self._handles[point]


async def _of(reference: Awaitable[Any]) -> Any:
    """Await an actor's answer; Ray types its references as nothing in particular."""
    return await reference


def _deployment(name: str, replica: type) -> Deployment:
    return serve.deployment(
        name=name,
        max_ongoing_requests=MAX_STREAMS,
        ray_actor_options={"num_cpus": 0},
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=STOP_S,
    )(serve.ingress()(replica))


TAIL: Final = _deployment("tail", TailReplica)
CONTROL: Final = _deployment("control", ControlReplica)
