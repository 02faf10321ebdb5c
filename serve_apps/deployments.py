"""A point's replica: what Serve makes, asks, reconfigures and stops.

Owns what Serve calls of it. One of the few files that import Ray; everything behind it is testable without.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from cluster.triton.client import ModelTotals
from cluster.triton.repository import Backend, ModelSpec
from cluster.triton.tuning import Tuning
from serve_apps.app_names import BUNDLES, CONTROL_APP
from serve_apps.backends import NoopBackend, OnnxBackend, TailBackend, TritonBackend
from serve_apps.cluster_config import ClusterConfig, config_from_plain
from serve_apps.drain import Drain, OwnHealthPage
from serve_apps.guard import Guard
from serve_apps.health import Health
from serve_apps.logs import configure_logs
from serve_apps.node_load import NodeWatch
from serve_apps.node_triton import node_triton
from serve_apps.owned_tasks import OwnedTasks
from serve_apps.point_scaler import stats_of
from serve_apps.replica_reporter import ReplicaReporter
from serve_apps.replica_watch import ReplicaSeen, ReplicaWatch
from serve_apps.report import LONG_AGO_S, Orders, Report
from serve_apps.reporter import Reporter
from serve_apps.scaling import ReplicaLoad
from serve_apps.stream_protocol import install
from serve_apps.stream_roster import StreamRoster
from serve_apps.tail import Tail
from serve_apps.tail_set import TailSet
from serve_apps.tail_web import TailWeb
from serve_apps.triton_host import HostCalls
from serve_apps.triton_link import TritonLink
from serve_apps.triton_models import ModelUser
from wire.bundle import Bundle
from wire.errors import IsthmusError, SettingError
from wire.ids import PointName
from wire.records import from_plain, to_plain
from wire.tensor_form import TensorForm

log = logging.getLogger("isthmus.tail")


class TailReplica:
    """One replica of one point."""

    async def __init__(self, point: str, config: dict[str, Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        install()  # before Serve starts this replica's web server
        self._config: ClusterConfig = config_from_plain(config)
        self._replica = serve.get_replica_context().replica_id.unique_id
        self._guard = Guard.of(self._config.security.tokens)
        self._stack = AsyncExitStack()
        configure_logs(self._config.observe, point=point, replica=self._replica)
        self._watch = ReplicaWatch.make(PointName(point), self._replica, self._config.observe.trace)
        self._stack.callback(self._watch.close)
        self._link: TritonLink | None = None
        if self._config.tail.kind.startswith("triton"):
            host = HostCalls(partial(node_triton, self._config.tail.external))
            link = TritonLink(host, ModelUser.here(self._replica))
            self._link = await self._stack.enter_async_context(link)
        self._models: set[str] = set()
        self._roster = StreamRoster()
        tails = TailSet(PointName(point), self._make_tail, users=self._roster.using)
        self._tails = await self._stack.enter_async_context(tails)
        self._health: Health | None = None
        self._drain = Drain(self._roster, OwnHealthPage(self._roster))
        self._reporter = Reporter(self._report, self._send, self._roster)
        self._replica_reporter = ReplicaReporter(self._look, self._tell)
        self._control: DeploymentHandle[Any] | None = None
        self._settled_s = time.monotonic()
        self._fault = ""
        self._tasks = await self._stack.enter_async_context(OwnedTasks())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Give Serve the application that answers this replica's requests."""
        return TailWeb(self._tails, self._guard, self._config.limits, self._roster, self._watch).asgi

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve the bundles that Serve was told of; the first time before the replica is ready, later beside its work.

        Raises:
            IsthmusError: none of them can be served, the first time.
        """
        self._settled_s = time.monotonic()
        folders = [str(folder) for folder in user_config[BUNDLES]]
        if self._tails.bundles:
            # Serve sends nobody new here until this returns, so it has to be soon.
            self._tasks.start(self._use(folders))
            return
        await self._tails.use(folders)
        await self._stack.enter_async_context(
            NodeWatch(
                self._triton_totals if self._link else None,
                self._tails.note_node,
                on_gpu=self._config.tail.device == "gpu",
            )
        )
        self._health = Health(self._tails)
        for work in (self._drain.run(), self._reporter.run(), self._replica_reporter.run()):
            self._tasks.start(work)

    async def __del__(self) -> None:
        """Give the models back when Serve stops the replica; Serve may ask twice."""
        await self._stack.aclose()

    async def check_health(self) -> None:
        """Tell Serve, which asks every second, whether this replica still answers frames; raises if not."""
        if self._health is not None:
            await self._health.check()

    async def prove(self) -> None:
        """Answer a frame, through Triton; raises the IsthmusError that kept it from it."""
        if self._health is not None:
            await self._health.prove()

    async def load(self) -> dict[str, Any]:
        """Say how this replica stands."""
        return to_plain(self._tails.load())

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Give Serve's autoscaler what ``PointScaler`` decides by; nothing before the replica is ready."""
        if not self._tails.bundles:
            return {}
        load, roster = self._tails.load(), self._roster
        return stats_of(
            ReplicaLoad(
                busy=load.utilisation,
                queue_s=load.queue_s,
                arrived_s=roster.arrived_s,
                answered_s=roster.answered_s,
                streams=len(roster),
                idle_s=roster.idle_s,
            )
        )

    async def _use(self, folders: list[str]) -> None:
        try:
            await self._tails.use(folders)
            self._settled_s, self._fault = time.monotonic(), ""
        except IsthmusError as error:
            self._fault = str(error)[:1024]
            log.error("bundle.not_served: %s", error)

    def _report(self) -> Report:
        load, bundles = self._tails.load(), self._tails.bundles
        return Report(
            replica=self._replica,
            load=replace(load, state="draining") if self._drain.draining else load,
            streams=self._roster.staying,
            bundles=bundles,
            behind=self._roster.not_using(bundles[0]),
            settled_s=min(time.monotonic() - self._settled_s, LONG_AGO_S),
            fault=self._fault,
        )

    async def _send(self, report: Report) -> Orders:
        control = await self._control_handle()
        return from_plain(Orders, await control.report.remote(to_plain(report)), "orders")

    def _look(self) -> ReplicaSeen:
        self._watch.metrics.holds_models(self._tails.models)
        self._watch.metrics.reaches_triton(0 if self._link is not None and self._link.away else 1)
        return self._watch.report(self._tails.bundles[0], self._report().load)

    async def _tell(self, seen: ReplicaSeen) -> None:
        await (await self._control_handle()).note_seen.remote(seen)

    async def _control_handle(self) -> DeploymentHandle[Any]:
        if self._control is None:
            self._control = await asyncio.to_thread(serve.get_app_handle, CONTROL_APP)
        return self._control

    def _make_tail(self, bundle: Bundle) -> Tail:
        tail, tunings = self._config.tail, self._tunings(bundle)

        def make_backend(graph: str, form: TensorForm) -> TailBackend:
            return self._backend(bundle, graph, form, tunings.get(graph, Tuning(tail.max_batch)))

        return Tail(
            bundle, self._tails.point, make_backend,
            replica_id=self._replica, max_batch=tail.max_batch, tunings=tunings,
        )  # fmt: skip

    def _tunings(self, bundle: Bundle) -> Mapping[str, Tuning]:
        try:
            return self._config.tail.tunings(bundle)
        except SettingError as error:
            # A profile is of one bundle, and after an update another one is served, with default batches.
            log.warning("profile.unused: %s", error)
            return {}

    async def _triton_totals(self) -> ModelTotals:
        assert self._link is not None
        return await self._link.client.totals(self._models)

    def _backend(self, bundle: Bundle, graph: str, form: TensorForm, tuning: Tuning) -> TailBackend:
        kind = self._config.tail.kind
        path, classes = bundle.path(graph), len(bundle.labels())
        if kind == "noop":
            return NoopBackend(classes)
        if kind == "onnxruntime":
            return OnnxBackend(path, threads=1)
        if self._link is None:
            raise SettingError(f"a tail of kind {kind} needs a Triton")
        backend: Backend = "noop" if kind == "triton-noop" else self._config.tail.backend
        # A graph goes by the first option that has it: a path is no name for a model.
        first = min(option.id for option in bundle.manifest.options if option.cluster_graph == graph)
        spec = ModelSpec(
            name=f"{bundle.digest[:12]}-{first}-{backend}-{tuning.max_batch}x{tuning.instances}",
            graph=path,
            form=form,
            classes=classes,
            max_batch=tuning.max_batch,
            instances=tuning.instances,
            preferred_batches=tuning.preferred,
            backend=backend,
            kind="KIND_GPU" if self._config.tail.device == "gpu" and backend != "noop" else "KIND_CPU",
            entry=next(entry for entry in bundle.manifest.files if entry.path == graph),
        )
        self._models.add(spec.name)
        return TritonBackend(spec, self._link, acquire=self._link.acquire, release=self._link.release)
