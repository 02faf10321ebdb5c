"""One raw WebSocket of a light agent to one point: messages, pings, and who waits for which reply.

On a library whose exchange costs half as much of a core as the agent's own, since the generator shares the cores with
what it measures. Owns the socket's events; when to open one and what a reply means is its owner's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import picows

from device_agent.cluster_view import ClusterView
from device_agent.link_estimate import LinkEstimate
from device_agent.stream import TRAIN_PINGS
from wire.errors import IsthmusError
from wire.ids import PointName
from wire.messages import GoAway, Message, Reject, Result, unpack

_PING: Final = bytes(125)


class StreamOwner(Protocol):
    """Who hears what comes over a stream."""

    link: LinkEstimate
    cluster: ClusterView
    counts: dict[str, int]

    def heard(self, now_s: float) -> None:
        """Hear that anything came."""

    def note_refusal(self, point: PointName, reject: Reject) -> None:
        """Hear that a point refused."""

    def told_to_go(self, stream: "LightStream", order: GoAway) -> None:
        """Hear that a stream shall be replaced."""

    def was_cut(self, stream: "LightStream") -> None:
        """Hear that a stream is no more."""

    def ask_in_doubt(self, now_s: float) -> None:
        """Hear that a transfer was noted."""


@dataclass(frozen=True, slots=True)
class LightReply:
    """What came back for one message: its ``Result`` or ``Reject``, or None where the stream was cut."""

    message: Result | Reject | None
    received_bytes: int
    at_s: float


@dataclass(slots=True)
class Waiting:
    """One message under way; times are on the monotonic clock."""

    reply: "asyncio.Future[LightReply]"
    sent_bytes: int
    sent_s: float


class LightStream(picows.WSListener):
    """One socket that has said ``Welcome``; the owner hears of everything that is not a reply."""

    def __init__(self, owner: StreamOwner, point: PointName) -> None:
        self.point = point
        self.opened: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self.waiting: dict[int, Waiting] = {}
        self.transport: picows.WSTransport | None = None
        self._owner = owner
        self._pinged: deque[Callable[[float], None] | None] = deque()

    def on_ws_frame(self, _transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """Take one message of the replica."""
        now_s = time.monotonic()
        self._owner.heard(now_s)
        if frame.msg_type == picows.WSMsgType.PONG:
            if self._pinged and (on_pong := self._pinged.popleft()) is not None:
                on_pong(now_s)
            return
        if frame.msg_type != picows.WSMsgType.BINARY:
            return
        try:
            message = unpack(frame.get_payload_as_bytes())
        except IsthmusError:
            self._owner.counts["malformed"] += 1
            return
        if not self.opened.done():
            self.opened.set_result(message)
            return
        match message:
            case Result() | Reject(frame_id=int()):
                self._settle(message, frame.payload_size, now_s)
            case Reject():
                self._owner.note_refusal(self.point, message)
            case GoAway():
                self._owner.told_to_go(self, message)
            case _:
                self._owner.counts["unexpected"] += 1

    def on_ws_disconnected(self, _transport: picows.WSTransport) -> None:
        """Tell everyone who waits that the stream is cut."""
        if not self.opened.done():
            self.opened.set_result(None)
        now_s = time.monotonic()
        for waiting in self.waiting.values():
            if not waiting.reply.done():
                waiting.reply.set_result(LightReply(None, 0, now_s))
        self.waiting.clear()
        self._owner.was_cut(self)

    def send(self, data: bytes) -> None:
        """Send one packed message."""
        assert self.transport is not None, "it is opened first"
        self.transport.send(picows.WSMsgType.BINARY, data)

    def ping(self, on_pong: Callable[[float], None]) -> None:
        """Send a ping; ``on_pong`` hears when the pong came."""
        assert self.transport is not None, "it is opened first"
        self._pinged.append(on_pong)
        self.transport.send_ping()

    def ping_train(self, on_last: Callable[[float], None]) -> None:
        """Send some pings that are as long as can be; ``on_last`` hears when the last one's pong came."""
        assert self.transport is not None, "it is opened first"
        for number in range(TRAIN_PINGS):
            self._pinged.append(on_last if number == TRAIN_PINGS - 1 else None)
            self.transport.send_ping(_PING)

    def _settle(self, message: Result | Reject, size_bytes: int, now_s: float) -> None:
        if message.load is not None:
            self._owner.cluster.note_loads([message.load], now_s=now_s)
        waiting = self.waiting.pop(message.frame_id if message.frame_id is not None else -1, None)
        if waiting is None or waiting.reply.done():
            self._owner.counts["late_dropped"] += 1
            return
        if isinstance(message, Result):
            moved_bytes = waiting.sent_bytes + size_bytes
            link_s = max(now_s - waiting.sent_s - message.timings.total_s, 0.0)
            self._owner.link.note_transfer(moved_bytes, link_s, now_s=now_s)
            self._owner.ask_in_doubt(now_s)
        else:
            self._owner.note_refusal(self.point, message)
        waiting.reply.set_result(LightReply(message, size_bytes, now_s))
