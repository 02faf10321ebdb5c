"""A device that means no good, over real sockets: plays scripts at a cluster, and speaks broken HTTP and WebSocket.

Owns the sockets. Counts nothing, and judges only what no answer may be.
"""

import asyncio
import contextlib
from random import Random
from typing import Final

import websockets
from websockets.asyncio.client import ClientConnection, connect

from loadtests.fuzz_asgi import outcome_of
from loadtests.fuzz_bundle import POINTS
from loadtests.fuzz_mutation import mutated_bytes
from loadtests.fuzz_script import Event, Script
from loadtests.relay_connection import Address
from wire.errors import TailFailed
from wire.messages import Reject, unpack

OPEN_S: Final = 10.0
WAIT_S: Final = 2.0
LINGER_S: Final = 0.02
"""How long an answer to broken HTTP is waited for: a server may wait for the rest of it, as long as it likes."""
PATIENT: Final = 0.7
"""The share of devices that wait for their answers before they leave."""
MAX_ANSWER_BYTES: Final = 2**22
OWN_FAULT: Final = "its log says more"
"""With this a replica refuses a frame at which it has failed itself."""

_HANDSHAKE: Final = (
    b"GET /v1/points/middle/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_FRAMES: Final = (
    b"\x82\x85\x01\x02\x03\x04hello", b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", b"\x89\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8", b"\xc2\x80\0\0\0\0", b"\x02\x81\0\0\0\0\x80\x80\x81\0\0\0\0\x80",
)  # fmt: skip
_PATHS: Final = (
    "/v1/load", "/v1/healthz", "/v1/version", "/v1/wake", "/v1/update", "/v1/bundle/00/manifest.json",
    "/v1/bundle/00/files/../../etc/passwd", "/v1/points/real/frame", "/v1/points/nowhere/frame", "/",
)  # fmt: skip


class Device:
    """Reaches one cluster; every input has connections of its own."""

    def __init__(self, address: Address, random: Random) -> None:
        self._address, self._random = address, random

    async def play(self, script: Script) -> list[str]:
        """Do what a script says; give the outcomes in order.

        Raises AssertionError for an answer that no input may lead to.
        """
        outcomes: list[str] = []
        for event in (event for event in script.events if event.kind == "post"):
            path = f"/v1/points/{script.point}/frame"
            outcomes.append(await self.request("POST", path, event.text, event.data))
        events = [event for event in script.events if event.kind != "post"]
        if events:
            outcomes += await self._stream(script.point, events)
        return outcomes

    async def _stream(self, point: str, events: list[Event]) -> list[str]:
        host, port = self._address
        url = f"ws://{host}:{port}/v1/points/{point}/stream"
        outcomes: list[str] = []
        try:
            async with connect(
                url, compression=None, open_timeout=OPEN_S, close_timeout=WAIT_S, max_size=MAX_ANSWER_BYTES
            ) as socket:
                await self._send(socket, events, outcomes)
        except websockets.ConnectionClosed:
            outcomes.append("closed")
        except websockets.InvalidStatus as error:
            outcomes.append(f"http_{error.response.status_code}")
        return outcomes

    async def _send(self, socket: ClientConnection, events: list[Event], outcomes: list[str]) -> None:
        sent = 0
        patient = [Event("wait")] if self._random.random() < PATIENT else []
        for event in (*events, *patient):
            match event.kind:
                case "cut":
                    socket.transport.abort()
                    return
                case "wait":
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(WAIT_S):
                            while len(outcomes) < sent:
                                outcomes.append(_answer(await socket.recv()))
                case _:
                    await socket.send(event.data if event.kind == "bytes" else event.text)
                    sent += 1

    async def request(self, method: str, path: str, content_type: str, body: bytes) -> str:
        """Make one HTTP request; give its status as an outcome."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._address[0]}\r\nConnection: close\r\n"
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await self._exchange(head.encode("latin-1", "replace") + body, WAIT_S)
        return _status(answer)

    async def garble(self) -> str:
        """Send HTTP or WebSocket that is broken somewhere, and look shortly at what comes back."""
        random = self._random
        if random.random() < 0.5:
            data = _HANDSHAKE + b"".join(random.choices(_FRAMES, k=3))
        else:
            path = random.choice((*_PATHS, f"/v1/points/{random.choice(POINTS)}/frame"))
            data = f"{random.choice(('GET', 'POST', 'PUT', 'HEAD'))} {path} HTTP/1.1\r\nHost: a\r\n".encode()
            data += b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        return _status(await self._exchange(mutated_bytes(data, _HANDSHAKE, random), LINGER_S))

    async def _exchange(self, data: bytes, wait_s: float) -> bytes:
        answer = b""
        try:
            async with asyncio.timeout(OPEN_S):
                reader, writer = await asyncio.open_connection(*self._address)
        except OSError:
            return answer
        try:
            writer.write(data)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while part := await reader.read(2**16):
                        answer += part
        except OSError:
            pass  # it closed while we sent, as it may
        finally:
            writer.transport.abort()
        return answer


def _answer(data: bytes | str) -> str:
    assert isinstance(data, bytes), "an answer came as text"
    message = unpack(data)
    failed = isinstance(message, Reject) and message.code == TailFailed.code and OWN_FAULT in message.message
    assert not failed, "the replica failed at a frame"
    return outcome_of(message)


def _status(answer: bytes) -> str:
    words = answer[:64].split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return "no_answer"
    status = words[1].decode("latin-1")
    assert status != "500", f"a request was answered with 500: {answer[:1000]!r}"
    return "accepted" if status == "200" else f"http_{status}"
