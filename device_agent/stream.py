"""One WebSocket to one partition point: opening, messages, pings and closing, with websockets' errors made ours.

Owns the socket; decides nothing about when to open or to give up.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from device_agent.addresses import ServerAddress
from device_agent.refusals import refusal_of
from device_agent.trust import tls_context
from wire.errors import ClusterUnreachable, MalformedMessage
from wire.ids import PointName
from wire.messages import MAX_MESSAGE_BYTES, Hello, Message, Reject, Welcome, error_from, pack, unpack

TRAIN_PINGS: Final = 8
_PING_BYTES: Final = 125
"""The most that a ping may carry."""
TRAIN_BYTES: Final = TRAIN_PINGS * (2 * _PING_BYTES + 8)
"""What a train of pings moves, both ways, with the headers of its WebSocket frames."""
TRAIN_PATH_BYTES: Final = TRAIN_PINGS * (_PING_BYTES + 6) + _PING_BYTES + 2
"""What of it is on the way one after another: all the pings, and the last one's pong; the others travel meanwhile."""
_CLOSE_S: Final = 0.3
_SAYS_NO_HEADERS: Final = logging.getLogger("isthmus.websockets")
"""Not websockets' own: with DEBUG, which anything may turn on, that one says every header, and so our token."""
_SAYS_NO_HEADERS.setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Received:
    """A message, its bytes, when it came (``time.perf_counter``), and the seconds it took to unpack."""

    message: Message
    size_bytes: int
    at_s: float
    unpack_s: float


class PointStream:
    """An open stream to a replica of ``point`` that has said ``Welcome``."""

    def __init__(self, connection: ClientConnection, point: PointName) -> None:
        self._connection = connection
        self.point = point
        self.opened_s = self.sent_s = time.monotonic()
        """``sent_s`` is when the last message was sent; pings do not count."""
        self.unanswered_pings = 0
        self.hello_s = 0.0
        """Round trip of the greeting, in seconds: the first thing known of the base delay."""
        self.welcome: Welcome | None = None

    @property
    def replica(self) -> str:
        """The name of the replica at the other end."""
        return self.welcome.replica_id if self.welcome is not None else ""

    @classmethod
    async def open(cls, server: ServerAddress, point: PointName, hello: Hello) -> Self:
        """Connect and greet; waits without end, so the caller sets a time-out.

        Raises:
            ClusterUnreachable: no connection, or one that was cut.
            IsthmusError: any error with which the replica refused.

        """
        connection = await _connect(server, point)
        stream = cls(connection, point)
        try:
            await stream._greet(hello)
        except BaseException:
            stream.abort()
            raise
        return stream

    async def send(self, data: bytes) -> None:
        """Send one packed message; raises ClusterUnreachable if the stream was cut."""
        self.sent_s = time.monotonic()
        try:
            await self._connection.send(data)
        except (ConnectionClosed, OSError) as error:
            raise _cut(self.point, error) from error

    async def receive(self) -> Received:
        """Wait for the next message.

        Raises ClusterUnreachable if the stream was cut, and WireError for what is not a message.
        """
        try:
            data = await self._connection.recv()
        except (ConnectionClosed, OSError) as error:
            raise _cut(self.point, error) from error
        at_s = time.perf_counter()
        if isinstance(data, str):
            raise MalformedMessage("a stream carries binary messages only, and this is text")
        message = unpack(data)
        return Received(message, len(data), at_s, time.perf_counter() - at_s)

    async def ping_train(self, on_last: Callable[[float], None]) -> None:
        """Send some pings that are as long as can be; ``on_last`` hears when the last one's pong has come, in seconds.

        That says how fast the link is without a word that the replica has to know. Raises as ``ping`` does.
        """
        begun_s = time.perf_counter()
        for _ in range(TRAIN_PINGS - 1):
            await self.ping(lambda _round_trip_s: None, os.urandom(_PING_BYTES))
        await self.ping(lambda _round_trip_s: on_last(time.perf_counter() - begun_s), os.urandom(_PING_BYTES))

    async def ping(self, on_pong: Callable[[float], None], data: bytes | None = None) -> None:
        """Send a ping; ``on_pong`` hears its round trip in seconds, whenever the pong comes.

        Raises ClusterUnreachable if the stream was cut.
        """
        begun_s = time.perf_counter()
        try:
            # A future, as its documentation says; its type says less.
            pong = asyncio.ensure_future(await self._connection.ping(data))
        except (ConnectionClosed, OSError) as error:
            raise _cut(self.point, error) from error
        self.unanswered_pings += 1

        def heard(_: object) -> None:
            # A waiter whose stream was cut carries that as its error, which `receive` tells.
            if not pong.cancelled() and pong.exception() is None:
                self.unanswered_pings = 0
                on_pong(time.perf_counter() - begun_s)

        pong.add_done_callback(heard)

    async def close(self) -> None:
        """Close politely, for a moment, and then for good."""
        await self._connection.close()

    def abort(self) -> None:
        """Drop the socket without a word; what waits on it hears that it was cut."""
        self._connection.transport.abort()

    async def _greet(self, hello: Hello) -> None:
        begun_s = time.perf_counter()
        await self.send(pack(hello))
        received = await self.receive()
        self.hello_s = received.at_s - begun_s
        match received.message:
            case Welcome() as welcome:
                self.welcome = welcome
            case Reject() as reject:
                raise error_from(reject)
            case other:
                raise MalformedMessage(f"the first message must be a Welcome, not a {type(other).__name__}")


async def _connect(server: ServerAddress, point: PointName) -> ClientConnection:
    try:
        return await connect(
            server.stream_of(point),
            additional_headers=server.headers,
            ssl=tls_context(server.ca) if server.secure else None,
            logger=_SAYS_NO_HEADERS,
            # The payload is entropy-coded already.
            compression=None,
            proxy=None if server.is_loopback else True,
            # The caller bounds the opening, and the agent sends its own pings: it needs their times.
            open_timeout=None,
            ping_interval=None,
            close_timeout=_CLOSE_S,
            max_size=MAX_MESSAGE_BYTES,
        )
    except InvalidStatus as error:
        response = error.response
        raise refusal_of(f"the point {point!r}", response.status_code, bytes(response.body or b"")) from error
    except (WebSocketException, OSError, EOFError) as error:
        raise ClusterUnreachable(f"no connection to the point {point!r}: {error}") from error


def _cut(point: PointName, error: Exception) -> ClusterUnreachable:
    return ClusterUnreachable(f"the stream to the point {point!r} was cut: {error}")
