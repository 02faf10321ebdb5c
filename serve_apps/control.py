"""The control application: bundles by digest, load, health and version. No frame passes through it.

Owns ``/v1/bundle``, ``/v1/load``, ``/v1/healthz``, ``/v1/version``, ``/v1/wake`` and ``/v1/update``; what operators
watch is ``ControlWatch``'s. Imports no Ray.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve_apps.bundle_shelf import BundleShelf
from serve_apps.control_watch import ControlWatch
from serve_apps.guard import NO_GUARD, Guard, error_response
from serve_apps.health import FAILING, Proofs, Prove
from serve_apps.replica_board import ReplicaBoard
from wire.errors import IsthmusError, MalformedMessage, MessageTooLarge, UnknownPoint
from wire.ids import PointName
from wire.manifest import MANIFEST_NAME
from wire.messages import PROTOCOL_VERSION, LoadSignal
from wire.records import Length, Range, from_plain, to_plain

LOAD_TIMEOUT_S: Final = 2.0
OPEN_PATHS: Final = frozenset({"/version", "/healthz"})
"""What says no more than that a cluster is here and well; a balancer that asks has no token."""
DEVICE_WRITES: Final = frozenset({"/wake"})
"""Paths that a device may write to; all other writing is for operators."""
MAX_REQUEST_BYTES: Final = 2**14

ReadLoad = Callable[[], Awaitable[list[LoadSignal]]]
Wake = Callable[[PointName], Awaitable[LoadSignal]]
"""Has a point that sleeps started, and says how it stands; raises UnknownPoint if there is none of that name."""


class Updates(Protocol):
    """What changes the bundle of a running cluster."""

    async def begin(self, folder: str, *, within_s: float) -> None:
        """Begin to serve the bundle in a folder; raises IsthmusError if that cannot be."""

    def as_plain(self) -> dict[str, Any]:
        """Say how far it is."""


@dataclass(frozen=True, slots=True)
class UpdateRequest:
    """What ``POST /v1/update`` carries."""

    bundle: Annotated[str, Length(4096, least=1)]
    within_s: Annotated[float, Range(0.0, 86400.0)]


class ControlWeb:
    """Serves the bundle's files and asks the tails for their load."""

    def __init__(
        self,
        shelf: BundleShelf,
        read_load: ReadLoad,
        prove: Prove,
        guard: Guard = NO_GUARD,
        *,
        wake: Wake,
        updates: Updates,
        board: ReplicaBoard | None = None,
    ) -> None:
        self._shelf, self._read_load, self._wake_point, self._updates = shelf, read_load, wake, updates
        self._proofs = Proofs(prove)
        watch = ControlWatch(board or ReplicaBoard(), self._signals, guard, newest=lambda: shelf.newest.digest)
        app = Starlette(
            routes=[
                Route("/version", self._version),
                Route("/healthz", self._health),
                Route("/load", self._load),
                Route("/wake", self._wake, methods=["POST"]),
                Route("/update", self._update_status, methods=["GET"]),
                Route("/update", self._update, methods=["POST"]),
                Route("/bundle/{digest}/manifest.json", self._manifest),
                Route("/bundle/{digest}/files/{path:path}", self._file),
                *watch.routes,
                Route("/{path:path}", self._unknown, methods=["GET", "POST"]),
            ]
        )
        guarded = guard.protect(app, open_paths=OPEN_PATHS, device_writes=DEVICE_WRITES)
        self.asgi: ASGIApp = watch.counted(guarded)

    async def _version(self, _: Request) -> Response:
        return JSONResponse(
            {"isthmus": version("isthmus"), "protocol": PROTOCOL_VERSION, "bundle": self._shelf.newest.digest}
        )

    async def _load(self, _: Request) -> Response:
        return JSONResponse({"points": [to_plain(signal) for signal in await self._signals()]})

    async def _health(self, _: Request) -> Response:
        signals = await self._signals()
        ready = [signal.point for signal in signals if signal.state == "ready"]
        proven = await self._proofs.of(ready)
        states = {signal.point: signal.state if proven.get(signal.point, True) else FAILING for signal in signals}
        # A point that idles without a replica is as it should be.
        well = bool(signals) and all(state in ("ready", "cold") for state in states.values())
        return JSONResponse({"ready": well, "points": states}, status_code=200 if well else 503)

    async def _signals(self) -> list[LoadSignal]:
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                return await self._read_load()
        except TimeoutError:
            return []

    async def _wake(self, request: Request) -> Response:
        """Start a point that sleeps; whoever asks about one that is awake just hears how it stands."""
        try:
            signal = await self._wake_point(PointName(request.query_params.get("point", "")))
        except IsthmusError as error:
            return error_response(error)
        return JSONResponse(to_plain(signal), status_code=200 if signal.state == "ready" else 202)

    async def _update(self, request: Request) -> Response:
        try:
            wanted = from_plain(UpdateRequest, await _json(request), "update")
            await self._updates.begin(wanted.bundle, within_s=wanted.within_s)
        except IsthmusError as error:
            return error_response(error)
        return JSONResponse(self._updates.as_plain(), status_code=202)

    async def _update_status(self, _: Request) -> Response:
        return JSONResponse(self._updates.as_plain())

    async def _manifest(self, request: Request) -> Response:
        return self._send(request, MANIFEST_NAME)

    async def _file(self, request: Request) -> Response:
        return self._send(request, request.path_params["path"], listed=True)

    def _send(self, request: Request, path: str, *, listed: bool = False) -> Response:
        try:
            bundle = self._shelf.of(request.path_params["digest"])
        except IsthmusError as error:
            return error_response(error)
        # Only what the manifest lists is served, so that no path can lead out of the bundle.
        if listed and all(entry.path != path for entry in bundle.manifest.files):
            return JSONResponse({"code": "not_found", "message": f"the bundle has no file {path!r}"}, status_code=404)
        return FileResponse(bundle.directory / path)

    async def _unknown(self, request: Request) -> Response:
        return error_response(
            UnknownPoint(
                f"nothing is served at {request.url.path!r}",
                mend=f"points: {', '.join(p for p in self._shelf.newest.points if p != 'output')}",
            )
        )


async def _json(request: Request) -> Any:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_REQUEST_BYTES:
            raise MessageTooLarge(f"the request is over {MAX_REQUEST_BYTES:,} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the request is not JSON: {error}") from error
