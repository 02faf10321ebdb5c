"""The web side of a tail: a WebSocket stream for agents and a POST for everyone else, as an ASGI application.

Owns the transport of messages. The application's routes are below the point's own prefix,
``/v1/points/POINT``. Imports no Ray.
"""

import asyncio
import time
from typing import Final, Self

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_apps.agent_stream import AgentStream
from serve_apps.guard import NO_GUARD, Guard, error_response
from serve_apps.peer_limits import DEFAULT_LIMITS, Peer, PeerLimits, Peers
from serve_apps.replica_watch import ReplicaWatch
from serve_apps.stream_roster import StreamRoster
from serve_apps.tail import Tail
from serve_apps.tail_set import TailSet
from serve_apps.tokens import Claims
from wire.errors import DeadlineExceeded, IsthmusError, MalformedMessage, MessageTooLarge, RateLimited, error_class
from wire.messages import MAX_MESSAGE_BYTES, Frame, Reject, Result, pack, unpack

FRAME_TYPE: Final = "application/msgpack"
MAX_PICTURE_BYTES: Final = 20 * 2**20
POST_BUDGET_S: Final = 10.0


class TailWeb:
    """Serves one open ``Tail`` over HTTP and WebSocket to those whom the guard lets in, within their limits."""

    def __init__(
        self,
        tail: Tail | TailSet,
        guard: Guard = NO_GUARD,
        limits: PeerLimits = DEFAULT_LIMITS,
        roster: StreamRoster | None = None,
        watch: ReplicaWatch | None = None,
    ) -> None:
        self._tail, self._guard = tail, guard
        self._roster = roster if roster is not None else StreamRoster()
        self._watch = watch if watch is not None else ReplicaWatch(tail.point, "")
        self._peers = Peers(limits, by_device=guard.asks)
        self.asgi = Starlette(
            routes=[WebSocketRoute("/stream", self._stream), Route("/frame", self._post, methods=["POST"])]
        )

    async def _stream(self, socket: WebSocket) -> None:
        try:
            claims = self._guard.device(socket)
            with self._peers.connected(claims.subject, now_s=time.monotonic()) as peer:
                await socket.accept()
                await self._serve(socket, claims, peer)
        except WebSocketDisconnect:
            pass  # agents come and go
        except IsthmusError as error:
            self._watch.refused_stream(error)
            await _deny(socket, error)

    async def _serve(self, socket: WebSocket, claims: Claims, peer: Peer | None) -> None:
        stream = AgentStream(socket, self._tail, self._guard, claims, self._peers, peer, self._roster, self._watch)
        try:
            await stream.run()
        except IsthmusError as error:
            await stream.refuse(error)

    async def _post(self, request: Request) -> Response:
        held = _Held(self._peers)
        try:
            claims = self._guard.device(request)
            with self._peers.connected(claims.subject, now_s=time.monotonic()) as peer, held:
                body = await _body(request, held, self._peers.limits)
                _spend(peer, len(body))
                if request.headers.get("content-type", "").startswith(FRAME_TYPE):
                    return await self._post_frame(body)
                self._roster.note_arrived()
                result = await self._tail.answer_picture(body, budget_s=POST_BUDGET_S)
                response = JSONResponse(self._in_words(result))
                self._watch.posted(self._tail.bundle, result, received=len(body), sent=len(response.body))
                return response
        except ClientDisconnect:
            return Response(status_code=400)
        except IsthmusError as error:
            self._watch.refused_post(error)
            return error_response(error)

    async def _post_frame(self, body: bytes) -> Response:
        message = unpack(body)
        if not isinstance(message, Frame):
            raise MalformedMessage(f"a {type(message).__name__} cannot be posted", mend="post a frame")
        self._roster.note_arrived()
        answer = await self._tail.answer(message)
        status = error_class(answer.code).http_status if isinstance(answer, Reject) else 200
        data = pack(answer)
        self._watch.posted(self._tail.bundle, answer, message.option_id, received=len(body), sent=len(data))
        return Response(data, status_code=status, media_type=FRAME_TYPE)

    def _in_words(self, result: Result) -> dict[str, object]:
        timings = result.timings
        return {
            "labels": [{"label": label, "score": round(score, 4)} for label, score in self._tail.labelled(result)],
            "point": self._tail.point,
            "bundle": self._tail.bundle.digest[:12],
            "timings_ms": {
                "decode": round(timings.decode_s * 1e3, 2),
                "queue": round(timings.queue_s * 1e3, 2),
                "compute": round(timings.compute_s * 1e3, 2),
                "total": round(timings.total_s * 1e3, 2),
            },
        }


class _Held:
    """Counts a body as it comes, until it is done with."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.size_bytes = 0

    def add(self, size_bytes: int) -> None:
        self._peers.hold(size_bytes)
        self.size_bytes += size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peers.release(self.size_bytes)


def _spend(peer: Peer | None, size_bytes: int) -> None:
    wait_s = peer.spend(size_bytes, now_s=time.monotonic()) if peer is not None else 0.0
    if wait_s > 0.0:
        raise RateLimited("the device sends more than a device may", mend=f"send it again in {wait_s:.2g} s")


async def _deny(socket: WebSocket, error: IsthmusError) -> None:
    """Refuse a stream before it is one, with an HTTP status and the reason."""
    try:
        if "websocket.http.response" in socket.scope.get("extensions", {}):
            await socket.send_denial_response(error_response(error))
        else:
            await socket.close()
    except WebSocketDisconnect:
        pass  # gone before it could be told


async def _body(request: Request, held: _Held, limits: PeerLimits) -> bytes:
    """Read a body, and stop as soon as it is too long or comes too slowly."""
    parts: list[bytes] = []
    is_frame = request.headers.get("content-type", "").startswith(FRAME_TYPE)
    limit = MAX_MESSAGE_BYTES if is_frame else MAX_PICTURE_BYTES
    begun_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limits.body_s) as clock:
            async for part in request.stream():
                held.add(len(part))
                if held.size_bytes > limit:
                    raise MessageTooLarge(f"the body is over {limit:,} bytes")
                parts.append(part)
                clock.reschedule(begun_s + limits.body_time_s(held.size_bytes))
    except TimeoutError as error:
        raise DeadlineExceeded(f"the body came too slowly: {held.size_bytes} bytes until now") from error
    return b"".join(parts)
