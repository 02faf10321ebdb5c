"""The control application's replica: what Serve makes, asks, reconfigures and stops.

Owns what Serve calls of it. One of the few files that import Ray; everything behind it is testable without.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from serve_apps.app_names import BUNDLES, CONTROL_APP, app_name
from serve_apps.bundle_shelf import BundleShelf, served_points
from serve_apps.bundle_update import BundleUpdate
from serve_apps.cluster_config import ClusterConfig, config_from_plain
from serve_apps.control import ControlWeb
from serve_apps.guard import Guard
from serve_apps.load_board import WAKE_PATIENCE_S, LoadBoard
from serve_apps.logs import configure_logs
from serve_apps.merged_load import merge_signals
from serve_apps.owned_tasks import OwnedTasks
from serve_apps.replica_board import ReplicaBoard
from serve_apps.replica_watch import ReplicaSeen
from serve_apps.report import Report
from wire.errors import SettingError
from wire.ids import PointName
from wire.messages import LoadSignal
from wire.records import from_plain, to_plain

log = logging.getLogger("isthmus.control")


class ControlReplica:
    """The control application's replica."""

    def __init__(self, config: dict[str, Any], *, updates: bool) -> None:
        """Take the configuration; ``updates`` says whether this application may deploy others of its kind."""
        self._config: ClusterConfig = config_from_plain(config)
        self._updates = updates
        configure_logs(self._config.observe, point=CONTROL_APP)
        self._replica_board = ReplicaBoard()
        self._guard = Guard.of(self._config.security.tokens)
        self._shelf = BundleShelf([])
        self._board = LoadBoard(merge_signals, now_s=time.monotonic())
        self._handles: dict[str, DeploymentHandle[Any]] = {}
        self._folders: list[str] = []
        self._update = BundleUpdate(self._deploy, lambda digest: self._board.behind(digest, time.monotonic()))
        self._tasks = OwnedTasks()

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Give Serve the application that answers this replica's requests."""
        return ControlWeb(
            self._shelf,
            self._read_load,
            self._prove,
            self._guard,
            wake=self._wake,
            updates=self,
            board=self._replica_board,
        ).asgi

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Hand out the bundles that Serve was told of; raises BundleError for one that is not whole."""
        self._folders = [str(folder) for folder in user_config[BUNDLES]]
        await self._shelf.use(self._folders)
        points = served_points(self._shelf.bundles, self._config.only)
        self._board.expect({point: self._config.point(point).min == 0 for point in points})

    async def report(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Hear how a replica stands, and tell it what to do."""
        return to_plain(self._board.note(from_plain(Report, plain, "report"), time.monotonic()))

    async def note_seen(self, seen: ReplicaSeen) -> None:
        """Hear what a replica tells for people and Prometheus."""
        self._replica_board.note(seen)

    async def begin(self, folder: str, *, within_s: float) -> None:
        """Begin a rolling update; raises as ``BundleUpdate.begin`` does."""
        if not self._updates:
            raise SettingError(
                "this cluster was deployed from a file",
                mend="name the new bundle in the file, the old one under `also`, and deploy it again",
            )
        await self._update.begin(folder, self._folders, within_s=within_s)

    def as_plain(self) -> dict[str, Any]:
        """Say how far the last update is."""
        return self._update.status.as_plain()

    async def _read_load(self) -> list[LoadSignal]:
        return self._board.signals(time.monotonic())

    async def _prove(self, point: str) -> None:
        await (await self._handle(point)).prove.remote()

    async def _wake(self, point: PointName) -> LoadSignal:
        if self._board.wake(point, time.monotonic()):
            self._tasks.start(self._start(point))
        return self._board.signal(point, time.monotonic())

    async def _start(self, point: PointName) -> None:
        """Ask a sleeping point for its load: Serve starts a replica for whoever waits for one."""
        try:
            async with asyncio.timeout(WAKE_PATIENCE_S):
                await (await self._handle(point)).load.remote()
        except Exception as error:  # noqa: BLE001 - whoever wants it asks again
            log.warning("point.not_woken %s: %r", point, error)

    async def _deploy(self, folders: Sequence[str]) -> None:
        # Imported here, since that module deploys this class.
        from serve_apps.applications import deploy

        config = replace(self._config, bundle=folders[0], also=tuple(folders[1:]))
        await asyncio.to_thread(deploy, config)

    async def _handle(self, point: str) -> DeploymentHandle[Any]:
        if point not in self._handles:
            self._handles[point] = await asyncio.to_thread(serve.get_app_handle, app_name(point))
        return self._handles[point]
