"""The streams of a light agent: one a point, opened when needed, replaced when told to go away, dropped when cut.

Follows ``device_agent.transport`` in what it does and in what it tells the link's estimate. A stream is
``light_socket``'s.
"""

import asyncio
import time
from collections.abc import Collection
from functools import partial
from typing import Final, Protocol

import picows

from device_agent.addresses import ServerAddress
from device_agent.cluster_view import ClusterView
from device_agent.link_estimate import LinkEstimate
from device_agent.prober import PING_EVERY_S, PROBE_EVERY_S, PROBE_TIMEOUT_S
from device_agent.stream import TRAIN_PATH_BYTES
from device_agent.transport import LEAST_SILENCE_S, LINK_TIMES, OPEN_TIMEOUT_S
from loadtests.light_socket import LightReply, LightStream, Waiting
from wire.ids import DeviceId, OptionId, PointName
from wire.messages import Frame, GoAway, Hello, Reject, Welcome, error_from, pack

KNOCK_EVERY_S: Final = 0.5
"""A point that could not be opened is not tried again sooner."""


class OpenStreams(Protocol):
    """Makes the streams of one light agent; nothing is opened yet."""

    def __call__(self, device_id: DeviceId, *, link: LinkEstimate, cluster: ClusterView) -> "LightStreams":
        """Make those of one device."""


class LightStreams:
    """The streams of one light agent; tells ``link`` and ``cluster`` what they say. ``counts`` is by event."""

    def __init__(self, server: ServerAddress, hello: Hello, *, link: LinkEstimate, cluster: ClusterView) -> None:
        self.link, self.cluster = link, cluster
        self.counts: dict[str, int] = dict.fromkeys(
            ("opened", "cut", "go_away", "refused_hello", "malformed", "unexpected", "late_dropped"), 0
        )
        self._server, self._hello = server, pack(hello)
        self._streams: dict[PointName, LightStream] = {}
        self._opening: dict[PointName, asyncio.Task[LightStream | None]] = {}
        self._moving: set[asyncio.Task[None]] = set()
        self._not_before_s: dict[PointName, float] = {}
        self._closing = False
        self._heard_s = 0.0
        self._doubt_until_s = 0.0
        self.is_up = True
        """Whether the cluster can be reached, as far as is known."""

    @property
    def opened(self) -> Collection[PointName]:
        """The points with a stream in use."""
        return self._streams.keys()

    def ask_in_doubt(self, now_s: float) -> None:
        """After an exchange that was far too slow, have one train of pings tell whether that was the link."""
        if self.link.surprised and now_s >= self._doubt_until_s and self._streams:
            self._doubt_until_s = now_s + PROBE_TIMEOUT_S
            list(self._streams.values())[-1].ping_train(partial(self._note_train, now_s))

    def knock(self, point: PointName) -> None:
        """Open a stream to a point where there is none, if it is time to; nobody waits for it."""
        if point not in self._streams:
            self._opening_of(point)

    async def exchange(self, point: PointName, option_id: OptionId, frame_id: int, bitstream: bytes,
                       *, until_s: float) -> "tuple[asyncio.Future[LightReply], int] | None":  # fmt: skip
        """Send one look; gives what its reply will be set on, and the bytes sent. None where there is no stream."""
        stream = self._streams.get(point) or await self._open(point, timeout_s=until_s - time.monotonic())
        if stream is None:
            return None
        now_s = time.monotonic()
        data = pack(
            Frame(frame_id=frame_id, option_id=option_id, budget_s=max(until_s - now_s, 0.0), bitstream=bitstream)
        )
        waiting = Waiting(asyncio.get_running_loop().create_future(), len(data), now_s)
        stream.waiting[frame_id] = waiting
        stream.send(data)
        return waiting.reply, len(data)

    def give_up(self, point: PointName, frame_id: int, *, now_s: float) -> None:
        """Wait no longer for a reply; a late one is counted and dropped. After a long silence the link is down."""
        stream = self._streams.get(point)
        waiting = stream.waiting.pop(frame_id, None) if stream is not None else None
        if waiting is None or waiting.reply.done():
            return
        waited_s = now_s - waiting.sent_s
        if self._heard_s >= waiting.sent_s:
            self.link.note_late(waiting.sent_bytes, waited_s, now_s=now_s)
            self.ask_in_doubt(now_s)
            return
        view = self.link.view(now_s)
        expected_s = view.base_s + waiting.sent_bytes * view.s_per_byte
        if waited_s >= max(LINK_TIMES * expected_s, LEAST_SILENCE_S):
            self.is_up = False

    def heard(self, now_s: float) -> None:
        """Take it that something came from the cluster: the link is up."""
        self._heard_s = now_s
        self.is_up = True

    async def keep_pinging(self, point: PointName) -> None:
        """Ping the stream opened last as the agent's prober does, and more often while the link is down."""
        await self._open(point, timeout_s=OPEN_TIMEOUT_S)
        while True:
            await asyncio.sleep(PING_EVERY_S if self.is_up else PROBE_EVERY_S)
            if not self._streams:
                self.knock(point)
                continue
            sent_s = time.monotonic()
            stream = list(self._streams.values())[-1]
            stream.ping(partial(self._note_pong, sent_s))
            if self.is_up and self.link.wants_probe(sent_s):
                stream.ping_train(partial(self._note_train, sent_s))

    def _note_pong(self, sent_s: float, now_s: float) -> None:
        if now_s - sent_s < PROBE_TIMEOUT_S:
            self.link.note_round_trip(now_s - sent_s, now_s=now_s)

    def _note_train(self, sent_s: float, now_s: float) -> None:
        self._doubt_until_s = 0.0
        if now_s - sent_s < PROBE_TIMEOUT_S:
            self.link.note_train(TRAIN_PATH_BYTES, now_s - sent_s, now_s=now_s)
        else:
            self.link.note_late(TRAIN_PATH_BYTES, PROBE_TIMEOUT_S, now_s=now_s)

    def note_refusal(self, point: PointName, reject: Reject) -> None:
        """Leave a point alone for as long as it asks, as the agent does."""
        self.cluster.note_refusal(point, error_from(reject), now_s=time.monotonic(), retry_after_s=reject.retry_after_s)

    def told_to_go(self, stream: LightStream, order: GoAway) -> None:
        """Open another stream, let the old one finish, then close it."""
        self.counts["go_away"] += 1
        task = asyncio.create_task(self._move(stream, order.grace_s))
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)

    def was_cut(self, stream: LightStream) -> None:
        """Forget a stream that is no more."""
        if self._streams.get(stream.point) is stream:
            del self._streams[stream.point]
            self.counts["cut"] += not self._closing

    async def close(self) -> None:
        """Drop every socket."""
        self._closing = True
        tasks = [*self._moving, *self._opening.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in list(self._streams.values()):
            if stream.transport is not None:
                stream.transport.disconnect(graceful=False)

    async def _open(self, point: PointName, *, timeout_s: float) -> LightStream | None:
        opening = self._opening_of(point)
        if opening is None:
            return None
        # A frame that cannot wait leaves the opening to the next one.
        await asyncio.wait((opening,), timeout=max(timeout_s, 0.0))
        return opening.result() if opening.done() and not opening.cancelled() else None

    def _opening_of(self, point: PointName) -> "asyncio.Task[LightStream | None] | None":
        if (opening := self._opening.get(point)) is None and time.monotonic() >= self._not_before_s.get(point, 0.0):
            opening = asyncio.create_task(self._connect(point))
            self._opening[point] = opening
            opening.add_done_callback(lambda _: self._opening.pop(point, None))
        return opening

    async def _connect(self, point: PointName) -> LightStream | None:
        begun_s = time.monotonic()
        stream = LightStream(self, point)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                stream.transport, _ = await picows.ws_connect(lambda: stream, self._server.stream_of(point))
                stream.send(self._hello)
                greeting = await stream.opened
        except (OSError, TimeoutError, picows.WSError):
            greeting = None
        now_s = time.monotonic()
        if isinstance(greeting, Welcome):
            self.counts["opened"] += 1
            self._not_before_s.pop(point, None)
            self.is_up = True
            self.cluster.note_loads([greeting.load], now_s=now_s)
            self.link.note_round_trip(now_s - begun_s, now_s=now_s)
            self._streams[point] = stream
            return stream
        if isinstance(greeting, Reject):
            self.counts["refused_hello"] += 1
            self.note_refusal(point, greeting)
        else:
            self.is_up = False
        self._not_before_s[point] = now_s + KNOCK_EVERY_S
        if stream.transport is not None:
            stream.transport.disconnect(graceful=False)
        return None

    async def _move(self, old: LightStream, grace_s: float) -> None:
        ends_s = time.monotonic() + grace_s
        await self._connect(old.point)
        replies = [waiting.reply for waiting in old.waiting.values()]
        if replies:
            await asyncio.wait(replies, timeout=max(ends_s - time.monotonic(), 0.0))
        if old.transport is not None:
            old.transport.disconnect()
