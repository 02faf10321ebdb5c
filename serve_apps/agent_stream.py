"""One agent's stream to a replica: a reader that starts an answer for each frame, a watch that ends what must end.

Owns the stream's life after it was let in. What is bounded: frames on the way, bytes held, how fast frames may come,
how long a peer may be silent or not read, and for how long its token is good.
"""

import asyncio
import logging
import time
from functools import partial
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from serve_apps.guard import Guard
from serve_apps.peer_limits import Peer, Peers
from serve_apps.replica_watch import ReplicaWatch, StreamWatch
from serve_apps.stream_memory import StreamMemory
from serve_apps.stream_roster import StreamRoster
from serve_apps.tail import Tail
from serve_apps.tail_set import TailSet
from serve_apps.tokens import Claims
from wire.errors import DeadlineExceeded, IsthmusError, MalformedMessage, MessageTooLarge, RateLimited, TailFailed
from wire.messages import Frame, GoAway, Hello, Message, Reject, Result, pack, reject_from, unpack

HELLO_TIMEOUT_S: Final = 10.0
MAX_IN_FLIGHT: Final = 32
"""Frames of one stream that may be on the way at once; more wait in the socket."""
WATCH_EVERY_S: Final = 1.0
CLOSE_REFUSED: Final = 4400
CLOSE_TOO_LARGE: Final = 1009

log = logging.getLogger("isthmus.tail")


class AgentStream:
    """Serves one accepted socket until it ends."""

    def __init__(
        self,
        socket: WebSocket,
        tail: Tail | TailSet,
        guard: Guard,
        claims: Claims,
        peers: Peers,
        peer: Peer | None,
        roster: StreamRoster,
        watch: ReplicaWatch,
    ) -> None:
        self._socket, self._tail, self._roster = socket, tail, roster
        self._replica_watch = watch
        self._stream_watch: StreamWatch
        self._guard, self._claims = guard, claims
        self._peers, self._peer = peers, peer
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._memory = StreamMemory()
        self._heard_s = time.monotonic()
        self._reader: asyncio.Task[None] | None = None
        self._unread = False

    async def run(self) -> None:
        """Greet, and answer frames until one side ends it; raises the IsthmusError that the greeting failed with."""
        hello = await self._greet()
        with (
            self._roster.holding(self, hello.bundle, self._socket.scope.get("server")),
            self._replica_watch.stream(hello, self._tail.bundle) as self._stream_watch,
        ):
            async with asyncio.TaskGroup() as tasks:
                self._reader = tasks.create_task(self._read(tasks))
                watch = tasks.create_task(self._watch(self._reader))
                self._reader.add_done_callback(partial(self._end, watch))

    async def go_away(self, reason: str, *, grace_s: float) -> None:
        """Ask the agent to connect again; it finishes here what is on the way."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._send(GoAway(reason, grace_s))
            self._replica_watch.metrics.sent_away()
        except (WebSocketDisconnect, RuntimeError):
            log.debug("stream.gone before it could be sent away")

    async def refuse(self, error: IsthmusError) -> None:
        """Say why, and close; not for long to one that does not read."""
        self._replica_watch.refused_stream(error)
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._send(reject_from(error, None))
            code = CLOSE_TOO_LARGE if isinstance(error, MessageTooLarge) else CLOSE_REFUSED
            await self._socket.close(code, error.code)
        except (WebSocketDisconnect, RuntimeError):
            log.debug("stream.gone before it could be refused")

    async def _greet(self) -> Hello:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = unpack(await self._receive())
        except TimeoutError as error:
            raise DeadlineExceeded(f"no hello within {HELLO_TIMEOUT_S:.0f} s") from error
        if not isinstance(hello, Hello):
            raise MalformedMessage(f"a stream opens with a Hello, not a {type(hello).__name__}")
        self._guard.check_device(self._claims, hello.device_id)
        self._memory.device = hello.device_id
        await self._send(self._tail.welcome(hello))
        self._tail = self._tail.serving(hello)
        return hello

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        try:
            while True:
                data = await self._receive()
                message = unpack(data)
                if not isinstance(message, Frame):
                    raise MalformedMessage(f"a {type(message).__name__} is not expected here")
                self._roster.note_arrived()
                if await self._admit(message, len(data)):
                    await self._slots.acquire()
                    answer = tasks.create_task(self._answer(message, len(data)))
                    # Not by the answer itself: one that is cancelled before it began would never come to it.
                    answer.add_done_callback(partial(self._release, len(data)))
        except WebSocketDisconnect:
            return
        except IsthmusError as error:
            await self.refuse(error)

    async def _receive(self) -> bytes:
        event = await self._socket.receive()
        self._heard_s = time.monotonic()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code") or 1005)
        data = event.get("bytes")
        if data is None:
            raise MalformedMessage("messages are binary, not text")
        return data

    async def _admit(self, frame: Frame, size_bytes: int) -> bool:
        """Take a frame's bytes into account, or refuse it and read no further until it would have been in order."""
        wait_s = self._peer.spend(size_bytes, now_s=self._heard_s) if self._peer is not None else 0.0
        if wait_s > 0.0:
            error: IsthmusError = RateLimited("the device sends more than a device may", mend="send fewer frames")
            await self._refuse_frame(frame, size_bytes, error, retry_after_s=wait_s)
            await asyncio.sleep(wait_s)
            return False
        try:
            self._peers.hold(size_bytes)
        except IsthmusError as error:
            await self._refuse_frame(frame, size_bytes, error, retry_after_s=WATCH_EVERY_S)
            return False
        return True

    async def _refuse_frame(self, frame: Frame, size_bytes: int, error: IsthmusError, *, retry_after_s: float) -> None:
        received_s = time.time()
        reject = reject_from(error, frame.frame_id, retry_after_s=retry_after_s, load=self._tail.load())
        sent = await self._send(reject)
        self._stream_watch.answered(
            frame, reject, received=size_bytes, sent=sent, received_s=received_s, answered_s=received_s
        )

    def _release(self, size_bytes: int, _: "asyncio.Task[None]") -> None:
        self._slots.release()
        self._peers.release(size_bytes)

    async def _answer(self, frame: Frame, size_bytes: int) -> None:
        received_s, sent = time.time(), 0
        answer = await self._answer_or_reject(frame)
        answered_s = time.time()
        try:
            sent = await self._send(answer)
        except (WebSocketDisconnect, RuntimeError):
            log.debug("stream.gone before frame %d was answered", frame.frame_id)
        self._stream_watch.answered(
            frame, answer, received=size_bytes, sent=sent, received_s=received_s, answered_s=answered_s
        )

    async def _answer_or_reject(self, frame: Frame) -> Result | Reject:
        try:
            answer = await self._tail.answer(frame, self._memory)
            if isinstance(answer, Result):
                self._roster.note_answered()
            return answer
        except Exception:  # one frame's fault must not end a stream that has others on the way
            log.exception("frame.failed %d", frame.frame_id)
            return reject_from(TailFailed("the replica failed at this frame; its log says more"), frame.frame_id)

    async def _send(self, message: Message) -> int:
        """Send a message, and give its bytes."""
        data = pack(message)
        try:
            async with asyncio.timeout(self._peers.limits.send_s):
                await self._socket.send_bytes(data)
        except TimeoutError:
            log.info("stream.cut, since its device does not read")
            self._unread = True
            if self._reader is not None:
                self._reader.cancel()
            raise WebSocketDisconnect(1006) from None
        return len(data)

    def _end(self, watch: "asyncio.Task[None]", reader: "asyncio.Task[None]") -> None:
        # Not where the watch has ended the reader, and has still to say why.
        if self._unread or not reader.cancelled():
            watch.cancel()

    async def _watch(self, reader: "asyncio.Task[None]") -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if (error := self._fault()) is not None:
                break
        log.info("stream.cut: %s", error.message)
        reader.cancel()
        await self.refuse(error)

    def _fault(self) -> IsthmusError | None:
        """Give why the stream may not go on, if it may not."""
        silent_s = self._peers.limits.silent_s
        if time.monotonic() - self._heard_s > silent_s:
            return DeadlineExceeded(f"no message within {silent_s:.0f} s", mend="open another stream when there is one")
        try:
            self._guard.check_still(self._claims)
        except IsthmusError as error:
            return error
        return None
