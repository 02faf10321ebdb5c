"""The control application: bundles by digest, load, health and version. No frame passes through it.

Owns ``/v1/bundle``, ``/v1/load``, ``/v1/healthz`` and ``/v1/version``. Imports no Ray.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from serve_apps.tail_web import error_response
from wire.bundle import Bundle
from wire.errors import IsthmusError, UnknownPoint, WrongBundle
from wire.manifest import MANIFEST_NAME
from wire.messages import PROTOCOL_VERSION, LoadSignal
from wire.records import to_plain

LOAD_TIMEOUT_S: Final = 2.0

ReadLoad = Callable[[], Awaitable[list[LoadSignal]]]


class ControlWeb:
    """Serves the bundle's files and asks the tails for their load."""

    def __init__(self, bundle: Bundle, read_load: ReadLoad) -> None:
        self._bundle, self._read_load = bundle, read_load
        self._files = {entry.path for entry in bundle.manifest.files}
        self.asgi = Starlette(
            routes=[
                Route("/version", self._version),
                Route("/healthz", self._health),
                Route("/load", self._load),
                Route("/bundle/{digest}/manifest.json", self._manifest),
                Route("/bundle/{digest}/files/{path:path}", self._file),
                Route("/{path:path}", self._unknown, methods=["GET", "POST"]),
            ]
        )

    async def _version(self, _: Request) -> Response:
        return JSONResponse(
            {"isthmus": version("isthmus"), "protocol": PROTOCOL_VERSION, "bundle": self._bundle.digest}
        )

    async def _load(self, _: Request) -> Response:
        return JSONResponse({"points": [to_plain(signal) for signal in await self._signals()]})

    async def _health(self, _: Request) -> Response:
        signals = await self._signals()
        states = {signal.point: signal.state for signal in signals}
        well = bool(signals) and all(state == "ready" for state in states.values())
        return JSONResponse({"ready": well, "points": states}, status_code=200 if well else 503)

    async def _signals(self) -> list[LoadSignal]:
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                return await self._read_load()
        except TimeoutError:
            return []

    async def _manifest(self, request: Request) -> Response:
        return self._send(request, MANIFEST_NAME)

    async def _file(self, request: Request) -> Response:
        path = request.path_params["path"]
        # Only what the manifest lists is served, so that no path can lead out of the bundle.
        if path not in self._files:
            return JSONResponse({"code": "not_found", "message": f"the bundle has no file {path!r}"}, status_code=404)
        return self._send(request, path)

    def _send(self, request: Request, path: str) -> Response:
        digest = request.path_params["digest"]
        if digest != self._bundle.digest:
            error: IsthmusError = WrongBundle(
                f"this cluster serves bundle {self._bundle.digest}, not {digest[:64]}", mend="ask /v1/version first"
            )
            return error_response(error)
        return FileResponse(self._bundle.directory / path)

    async def _unknown(self, request: Request) -> Response:
        return error_response(
            UnknownPoint(
                f"nothing is served at {request.url.path!r}",
                mend=f"points: {', '.join(p for p in self._bundle.points if p != 'output')}",
            )
        )
