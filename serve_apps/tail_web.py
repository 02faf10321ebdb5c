"""The web side of a tail: a WebSocket stream for agents and a POST for everyone else, as an ASGI application.

Owns the transport of messages. The application's routes are below the point's own prefix,
``/v1/points/POINT``. Imports no Ray.
"""

import asyncio
import logging
from typing import Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from serve_apps.stream_memory import StreamMemory
from serve_apps.tail import Tail
from wire.errors import DeadlineExceeded, IsthmusError, MalformedMessage, MessageTooLarge, TailFailed, error_class
from wire.messages import MAX_MESSAGE_BYTES, Frame, Hello, Message, Reject, Result, pack, reject_from, unpack

FRAME_TYPE: Final = "application/msgpack"
MAX_PICTURE_BYTES: Final = 20 * 2**20
POST_BUDGET_S: Final = 10.0
HELLO_TIMEOUT_S: Final = 10.0
MAX_IN_FLIGHT: Final = 32
"""Frames of one stream that may be on the way at once; more wait in the socket."""
CLOSE_REFUSED: Final = 4400
CLOSE_TOO_LARGE: Final = 1009

log = logging.getLogger("isthmus.tail")


class TailWeb:
    """Serves one open ``Tail`` over HTTP and WebSocket."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self.asgi = Starlette(
            routes=[WebSocketRoute("/stream", self._stream), Route("/frame", self._post, methods=["POST"])]
        )

    async def _stream(self, socket: WebSocket) -> None:
        await socket.accept()
        stream = _Stream(socket, self._tail)
        try:
            await stream.run()
        except WebSocketDisconnect:
            pass  # agents come and go
        except IsthmusError as error:
            await stream.refuse(error)

    async def _post(self, request: Request) -> Response:
        try:
            body = await _body(request)
            if request.headers.get("content-type", "").startswith(FRAME_TYPE):
                return await self._post_frame(body)
            result = await self._tail.answer_picture(body, budget_s=POST_BUDGET_S)
            return JSONResponse(self._in_words(result))
        except ClientDisconnect:
            return Response(status_code=400)
        except IsthmusError as error:
            return error_response(error)

    async def _post_frame(self, body: bytes) -> Response:
        message = unpack(body)
        if not isinstance(message, Frame):
            raise MalformedMessage(f"a {type(message).__name__} cannot be posted", mend="post a frame")
        answer = await self._tail.answer(message)
        status = error_class(answer.code).http_status if isinstance(answer, Reject) else 200
        return Response(pack(answer), status_code=status, media_type=FRAME_TYPE)

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


class _Stream:
    """One agent's socket: a reader that starts an answer for each frame, bounded in number."""

    def __init__(self, socket: WebSocket, tail: Tail) -> None:
        self._socket, self._tail = socket, tail
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._memory = StreamMemory()

    async def run(self) -> None:
        await self._greet()
        async with asyncio.TaskGroup() as answers:
            try:
                while True:
                    message = unpack(await self._receive())
                    if not isinstance(message, Frame):
                        raise MalformedMessage(f"a {type(message).__name__} is not expected here")
                    await self._slots.acquire()
                    answers.create_task(self._answer(message))
            except WebSocketDisconnect:
                return
            except IsthmusError as error:
                await self.refuse(error)

    async def refuse(self, error: IsthmusError) -> None:
        """Say why, and close."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._send(reject_from(error, None))
            code = CLOSE_TOO_LARGE if isinstance(error, MessageTooLarge) else CLOSE_REFUSED
            await self._socket.close(code, error.code)
        except (WebSocketDisconnect, RuntimeError):
            log.debug("stream.gone before it could be refused")

    async def _greet(self) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = unpack(await self._receive())
        except TimeoutError as error:
            raise DeadlineExceeded(f"no hello within {HELLO_TIMEOUT_S:.0f} s") from error
        if not isinstance(hello, Hello):
            raise MalformedMessage(f"a stream opens with a Hello, not a {type(hello).__name__}")
        await self._send(self._tail.welcome(hello))

    async def _receive(self) -> bytes:
        event = await self._socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code") or 1005)
        data = event.get("bytes")
        if data is None:
            raise MalformedMessage("messages are binary, not text")
        return data

    async def _answer(self, frame: Frame) -> None:
        try:
            await self._send(await self._answer_or_reject(frame))
        except (WebSocketDisconnect, RuntimeError):
            log.debug("stream.gone before frame %d was answered", frame.frame_id)
        finally:
            self._slots.release()

    async def _answer_or_reject(self, frame: Frame) -> Message:
        try:
            return await self._tail.answer(frame, self._memory)
        except Exception:  # one frame's fault must not end a stream that has others on the way
            log.exception("frame.failed %d", frame.frame_id)
            return reject_from(TailFailed("the replica failed at this frame; its log says more"), frame.frame_id)

    async def _send(self, message: Message) -> None:
        await self._socket.send_bytes(pack(message))


def error_response(error: IsthmusError) -> JSONResponse:
    """Say an error over HTTP."""
    body = {"code": error.code, "message": error.message, "mend": error.mend, "retryable": error.retryable}
    return JSONResponse(body, status_code=error.http_status)


async def _body(request: Request) -> bytes:
    """Read a body, and stop as soon as it is too long."""
    parts: list[bytes] = []
    size = 0
    is_frame = request.headers.get("content-type", "").startswith(FRAME_TYPE)
    limit = MAX_MESSAGE_BYTES if is_frame else MAX_PICTURE_BYTES
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise MessageTooLarge(f"the body is over {limit:,} bytes")
        parts.append(part)
    return b"".join(parts)
