"""The transport: one stream a point, frames out and replies in, and whether the link is up.

Owns the sockets' lives: opened when first needed, replaced when told to go away, dropped when cut. Which frames wait
for a reply is kept in ``device_agent.frames_under_way``; what finds the link's return is ``device_agent.prober``.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from typing import Any, Final

import structlog

from device_agent.addresses import ServerAddress
from device_agent.cluster_view import ClusterView
from device_agent.frames_under_way import OUTAGE_S, FramesUnderWay, SentFrame
from device_agent.link_estimate import LinkEstimate
from device_agent.reply import NoReply, Reply
from device_agent.stream import PointStream, Received
from wire.errors import ClusterUnreachable, IsthmusError, WireError
from wire.ids import OptionId, PointName
from wire.messages import Frame, GoAway, Hello, Reject, Result, error_from, pack

OPEN_TIMEOUT_S: Final = 2.0
_SHORT_LIVED_S: Final = 1.0
_IDLE_S: Final = 30.0
"""A stream that carried nothing for so long is not replaced: it would keep a point awake that nobody uses."""
LINK_TIMES: Final = 2.0
LEAST_SILENCE_S: Final = 0.03

Emit = Callable[[str, dict[str, Any]], None]

log = structlog.get_logger()


class Transport:
    """Exchanges frames for results with one cluster, and tells ``link`` and ``cluster`` what that says of them.

    ``tasks`` owns every task that is started here; ``emit`` hears the events of the link.
    """

    def __init__(
        self,
        server: ServerAddress,
        hello: Hello,
        tasks: asyncio.TaskGroup,
        emit: Emit,
        *,
        link: LinkEstimate,
        cluster: ClusterView,
        link_up: bool,
    ) -> None:
        self.link = link
        self.cluster = cluster
        self.probe_bytes = 0
        """Moved by probes so far, both ways."""
        self.wrong_bundle = asyncio.Event()
        self.down = asyncio.Event()
        self.up = asyncio.Event()
        self.doubt = asyncio.Event()
        """The link was slow as it was not expected to be: a probe at once is worth its bytes."""
        self.to_wake: set[PointName] = set()
        """Points that sleep and are wanted; ``wanted`` says that there is one."""
        self.wanted = asyncio.Event()
        self.last_heard_s = 0.0
        self._server = server
        self._hello = hello
        self._tasks = tasks
        self._emit = emit
        self._streams: dict[PointName, PointStream] = {}
        self._opening: dict[PointName, asyncio.Task[PointStream | IsthmusError]] = {}
        self._own: set[asyncio.Task[Any]] = set()
        self._under_way = FramesUnderWay()
        self._confirmed = False
        self._closing = False
        self._down_since_s = time.monotonic()
        (self.up if link_up else self.down).set()

    @property
    def opened(self) -> Collection[PointName]:
        """The points with a stream in use."""
        return self._streams.keys()

    @property
    def streams(self) -> tuple[PointStream, ...]:
        """The streams now in use, the last opened last."""
        return tuple(self._streams.values())

    @property
    def late_dropped(self) -> int:
        """How many replies came when nobody waited for them any more."""
        return self._under_way.late_dropped

    async def exchange(
        self,
        point: PointName,
        option_id: OptionId,
        frame_id: int,
        bitstream: bytes,
        *,
        until_s: float,
        silent_since_s: float | None = None,
    ) -> Reply | NoReply:
        """Send one frame and wait for its result until ``until_s`` (monotonic clock); raises nothing.

        If nothing is heard from ``silent_since_s`` until then, the link is taken to be down; the default is from now.
        """
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(max(until_s - begun_s, 0.0)):
                stream = await self.stream_to(point)
                sent = await self._send(stream, option_id, frame_id, bitstream, until_s)
                received = await sent.reply
        except TimeoutError:
            return self._timed_out(frame_id, begun_s if silent_since_s is None else silent_since_s)
        except ClusterUnreachable as error:
            return self._unsent(frame_id, "link_down", error)
        except IsthmusError as error:
            return self._unsent(frame_id, f"refused:{error.code}", error)
        finally:
            self._under_way.forget(frame_id)
        message_s = sent.pack_s + received.unpack_s
        match received.message:
            case Result() as result:
                return Reply(result, sent.sent_bytes, received.size_bytes, received.at_s - sent.sent_s, message_s)
            case Reject() as reject:
                return self._refused(point, reject, sent, message_s)
            case other:
                raise AssertionError(f"{type(other).__name__} is no reply")

    def give_up(self, frame_id: int) -> None:
        """Wait no longer for the result of a frame: its exchange ends as if its time had run out."""
        self._under_way.give_up(frame_id)

    async def stream_to(self, point: PointName) -> PointStream:
        """Give the stream of a point, opened if there is none; raises the IsthmusError that kept it away."""
        if (stream := self._streams.get(point)) is not None:
            return stream
        if (opening := self._opening.get(point)) is None:
            opening = self._tasks.create_task(self.open(point))
            self._opening[point] = opening
            opening.add_done_callback(lambda _: self._opening.pop(point, None))
        # Shielded: a frame that cannot wait leaves the opening to the next one.
        opened = await asyncio.shield(opening)
        if isinstance(opened, ClusterUnreachable):
            self.mark_down(opened.message)
        if isinstance(opened, IsthmusError):
            raise opened
        return opened

    def open_ahead(self, point: PointName) -> None:
        """Have a stream to a point ready before a frame asks for it; what keeps it away the next frame will see."""
        if self.down.is_set() or point in self._streams or point in self._opening:
            return
        if self.cluster.is_asleep(point):
            self.to_wake.add(point)
            self.wanted.set()
            return

        async def work() -> None:
            with contextlib.suppress(IsthmusError):
                await self.stream_to(point)

        self._spawn(work())

    async def open(self, point: PointName) -> PointStream | IsthmusError:
        """Open a stream, put it in the place of the point's old one, and read it; gives why it cannot be."""
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                stream = await PointStream.open(self._server, point, self._hello)
        except TimeoutError:
            return ClusterUnreachable(f"the point {point!r} does not answer")
        except IsthmusError as error:
            if not isinstance(error, ClusterUnreachable):
                # A refusal is an answer.
                self.heard("refused")
                self._note_refusal(point, error)
            return error
        self._streams.pop(point, None)
        self._streams[point] = stream
        if stream.welcome is not None:
            self.cluster.note_loads([stream.welcome.load], now_s=time.monotonic())
            if stream.welcome.bundle != self._hello.bundle:
                self.wrong_bundle.set()
        self.link.note_round_trip(stream.hello_s, now_s=time.monotonic())
        self.heard("welcome")
        self._spawn(self._read(stream))
        self._spawn(self._measure(stream))
        return stream

    def heard(self, what: str) -> None:
        """Take it that something came from the cluster just now: the link is up."""
        self.last_heard_s = time.monotonic()
        if not self.down.is_set():
            return
        self.down.clear()
        self.up.set()
        outage_s = self.last_heard_s - self._down_since_s
        if outage_s > OUTAGE_S:
            self.link.note_outage(now_s=self.last_heard_s)
        self._confirmed = False
        self._emit("link.up", {"outage_s": round(outage_s, 3), "heard": what})

    def mark_down(self, reason: str) -> None:
        """Take it that the link is down, until something is heard."""
        if self.down.is_set():
            return
        self._down_since_s = time.monotonic()
        self.down.set()
        self.up.clear()
        self._emit("link.down", {"reason": reason})

    def drop_streams(self, *, but: PointStream | None = None) -> None:
        """Drop all streams but one: they are opened again when they are needed."""
        for point, stream in list(self._streams.items()):
            if stream is not but:
                del self._streams[point]
                stream.abort()

    def use_bundle(self, hello: Hello) -> None:
        """Greet with another bundle from now on; streams that were greeted with the old one are dropped."""
        self._hello = hello
        self.wrong_bundle.clear()
        self.cluster.forget_refusals()
        self.drop_streams()

    async def close(self) -> None:
        """Close every stream and end every task that was started here."""
        self._closing = True
        for task in (*self._own, *self._opening.values()):
            task.cancel()
        await asyncio.gather(*(stream.close() for stream in self._streams.values()), return_exceptions=True)
        self._streams.clear()

    async def _send(
        self, stream: PointStream, option_id: OptionId, frame_id: int, bitstream: bytes, until_s: float
    ) -> SentFrame:
        begun_s = time.perf_counter()
        budget_s = max(until_s - time.monotonic(), 0.0)
        data = pack(Frame(frame_id=frame_id, option_id=option_id, budget_s=budget_s, bitstream=bitstream))
        sent_s = time.perf_counter()
        reply = asyncio.get_running_loop().create_future()
        sent = SentFrame(stream, reply, len(data), sent_s - begun_s, sent_s)
        self._under_way.add(frame_id, sent)
        await stream.send(data)
        return sent

    async def _read(self, stream: PointStream) -> None:
        error: IsthmusError = ClusterUnreachable(f"the stream to {stream.point!r} was closed")
        try:
            while True:
                received = await stream.receive()
                self.heard("message")
                self._dispatch(stream, received)
        except IsthmusError as cut:
            # What is not a message ends a stream as a cut does; a refusal stays what it is.
            error = ClusterUnreachable(cut.message) if isinstance(cut, WireError) else cut
            log.info("stream.cut", point=stream.point, replica=stream.replica, error=cut.message)
        finally:
            self._under_way.fail(stream, error)
            stream.abort()
            if self._streams.get(stream.point) is stream:
                del self._streams[stream.point]
                self._open_again(stream)

    def _open_again(self, cut: PointStream) -> None:
        """Have another stream ready before the next frame asks for it; not where one was cut as soon as it was open."""
        now_s = time.monotonic()
        if now_s - cut.opened_s > _SHORT_LIVED_S and now_s - cut.sent_s < _IDLE_S and not self._closing:
            self.open_ahead(cut.point)

    async def _measure(self, stream: PointStream) -> None:
        """Ask for the base delay at once: the greeting's round trip holds the replica's time too."""
        with contextlib.suppress(ClusterUnreachable):
            await stream.ping(lambda round_trip_s: self.link.note_round_trip(round_trip_s, now_s=time.monotonic()))

    def _dispatch(self, stream: PointStream, received: Received) -> None:
        match received.message:
            case Result(frame_id=frame_id, load=load):
                self.cluster.note_loads([load], now_s=self.last_heard_s)
                self._settle(frame_id, received)
            case Reject(frame_id=None) as reject:
                error = error_from(reject)
                self._note_refusal(stream.point, error, reject.retry_after_s)
                raise error
            case Reject(frame_id=int(frame_id), load=load):
                self.cluster.note_loads([load] if load is not None else [], now_s=self.last_heard_s)
                self._settle(frame_id, received)
            case GoAway(grace_s=grace_s, reason=reason):
                log.info("stream.go_away", point=stream.point, replica=stream.replica, reason=reason)
                self._spawn(self._replace(stream, grace_s))
            case other:
                log.warning("message.unexpected", kind=type(other).__name__)

    def _settle(self, frame_id: int, received: Received) -> None:
        sent = self._under_way.settle(frame_id, received)
        if sent is not None:
            self._note_transfer(sent, received)

    def _note_transfer(self, sent: SentFrame, received: Received) -> None:
        if isinstance(received.message, Result):
            self._confirmed = True
            cluster_s = received.message.timings.total_s
            moved_bytes = sent.sent_bytes + received.size_bytes
            link_s = max(received.at_s - sent.sent_s - cluster_s, 0.0)
            self.link.note_transfer(moved_bytes, link_s, now_s=self.last_heard_s)
            self._ask_in_doubt()

    def _ask_in_doubt(self) -> None:
        if self.link.surprised:
            self.doubt.set()

    def _timed_out(self, frame_id: int, since_s: float) -> NoReply:
        sent = self._under_way.find(frame_id)
        silent = self.last_heard_s < since_s
        if sent is not None:
            self._under_way.abandon(frame_id, sent)
            if not silent or not self._confirmed:
                self.link.note_late(sent.sent_bytes, time.perf_counter() - sent.sent_s, now_s=time.monotonic())
                self._ask_in_doubt()
        silence_s = time.monotonic() - since_s
        if silent and silence_s >= self._meaningful_silence_s(sent.sent_bytes if sent is not None else 0):
            self.mark_down(f"nothing was heard for {silence_s:.1f} s")
        if sent is None:
            return NoReply("late")
        return NoReply("late", sent.sent_bytes, message_s=sent.pack_s)

    def _meaningful_silence_s(self, sent_bytes: int) -> float:
        """Give how long a link that is up may say nothing: twice what an exchange of so many bytes should take."""
        view = self.link.view(time.monotonic())
        return max(LINK_TIMES * (view.base_s + sent_bytes * view.s_per_byte), LEAST_SILENCE_S)

    def _unsent(self, frame_id: int, fallback: str, error: IsthmusError) -> NoReply:
        log.info("frame.unsent", frame=frame_id, fallback=fallback, error=error.message)
        return NoReply(fallback)

    def _refused(self, point: PointName, reject: Reject, sent: SentFrame, message_s: float) -> NoReply:
        error = error_from(reject)
        log.info("frame.refused", frame=reject.frame_id, code=reject.code, message=reject.message)
        self._note_refusal(point, error, reject.retry_after_s)
        return NoReply(f"refused:{reject.code}", sent.sent_bytes, message_s=message_s)

    def _note_refusal(self, point: PointName, error: IsthmusError, retry_after_s: float = 0.0) -> None:
        if error.code == "wrong_bundle":
            self.wrong_bundle.set()
        self.cluster.note_refusal(point, error, now_s=time.monotonic(), retry_after_s=retry_after_s)

    async def _replace(self, old: PointStream, grace_s: float) -> None:
        """Make before break: open the new stream, let the old one finish, then close it."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + grace_s
        if time.monotonic() - old.sent_s < _IDLE_S:
            await self.open(old.point)
        replies = self._under_way.replies_on(old)
        if replies:
            await asyncio.wait(replies, timeout=max(ends_s - loop.time(), 0.0))
        await old.close()

    def _spawn(self, work: Any) -> None:
        task = self._tasks.create_task(work)
        self._own.add(task)
        task.add_done_callback(self._own.discard)
