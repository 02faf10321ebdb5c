"""The agent's transport in virtual time: exchanges, what they teach the estimates, and whether the link is up.

Follows ``device_agent.transport`` step by step, with messages of so many bytes in the place of sockets. Owns the frames
under way and what was heard when; what knocks while nothing is sent is ``loadtests.virtual_prober``'s.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import simpy
from simpy.events import Event

from device_agent.cluster_view import ClusterView
from device_agent.frames_under_way import OUTAGE_S
from device_agent.link_estimate import LinkEstimate
from device_agent.transport import LEAST_SILENCE_S, LINK_TIMES, OPEN_TIMEOUT_S
from loadtests.frame_tables import FrameTables
from loadtests.virtual_cluster import Exchanged, VirtualCluster
from loadtests.virtual_link import NEVER, Direction, VirtualLink
from wire.errors import Overloaded
from wire.ids import PointName

OPENING_BYTES: Final = ((60, 60), (400, 200), (200, 400))
"""Up and down, of each round trip that opens a stream: TCP, WebSocket, and the greeting."""

Steps: TypeAlias = Generator[Event, Any, None]


@dataclass(frozen=True, slots=True)
class VirtualReply:
    """What became of one exchange; ``fallback`` says why there is no result, as ``NoReply`` does."""

    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    fallback: str | None = None


@dataclass(slots=True)
class _Sent:
    """A message under way; one that is no longer waited for may still tell of the link (abandoned), or not."""

    row: int
    size_bytes: float
    sent_s: float
    since_s: float
    reply: Event
    state: Literal["waiting", "abandoned", "forgotten"] = "waiting"


class VirtualTransport:
    """Exchanges looks for answers, and tells ``link`` and ``cluster`` what that says of them."""

    def __init__(
        self,
        env: simpy.Environment,
        tables: FrameTables,
        carrier: VirtualLink,
        server: VirtualCluster,
        *,
        link: LinkEstimate,
        cluster: ClusterView,
    ) -> None:
        self.env, self.link, self.cluster, self.server = env, link, cluster, server
        self.is_down = False
        self.goes_up, self.goes_down = env.event(), env.event()
        """Each happens once, the next time."""
        self.doubt = env.event()
        """Happens when the link was slow as it was not expected to be; whoever heeds it makes the next one."""
        self.last_heard_s = 0.0
        self.probe_bytes = 0
        """Moved by probes so far, both ways."""
        self.streams: dict[PointName, bool] = {}
        """The points with a stream that is open, the last opened last."""
        self._tables = tables
        self._carrier = carrier
        self._points = {row: option.point for row, option in enumerate(tables.options)}
        self._opening: dict[PointName, simpy.Process] = {}
        self._confirmed = False
        self._down_since_s = 0.0

    def exchange(
        self, row: int, size_bytes: float, *, until_s: float, silent_since_s: float | None = None
    ) -> Generator[Event, Any, VirtualReply]:
        """Send one look of ``size_bytes`` and wait for its answer until ``until_s``, or until interrupted."""
        begun_s = self.env.now
        since_s = begun_s if silent_since_s is None else silent_since_s
        point = self._points[row]
        sent: _Sent | None = None
        try:
            if point not in self.streams:
                opening = self.open(point)
                yield opening | self._at(until_s)
                if not opening.processed:
                    return self._timed_out(None, since_s)
                if point not in self.streams:
                    return VirtualReply(fallback="link_down")
            sent = _Sent(row, size_bytes, self.env.now, since_s, self.env.event())
            self.env.process(self._travel(sent, budget_s=until_s - self.env.now))
            self.env.process(self._expire(sent, until_s))
            reply: VirtualReply = yield sent.reply
        except simpy.Interrupt:
            # The device was sooner.
            return self._timed_out(sent, since_s)
        return reply

    def open(self, point: PointName) -> simpy.Process:
        """Open a stream to a point, if that is not under way already; it is in ``streams`` where it succeeded."""
        if (opening := self._opening.get(point)) is None or opening.processed:
            opening = self._opening[point] = self.env.process(self._open(point))
        return opening

    def heard(self) -> None:
        """Take it that something came from the cluster just now: the link is up."""
        now_s = self.last_heard_s = self.env.now
        if not self.is_down:
            return
        self.is_down = False
        if now_s - self._down_since_s > OUTAGE_S:
            self.link.note_outage(now_s=now_s)
        self._confirmed = False
        self.goes_up.succeed()
        self.goes_up = self.env.event()

    def mark_down(self) -> None:
        """Take it that the link is down, until something is heard."""
        if self.is_down:
            return
        self.is_down = True
        self._down_since_s = self.env.now
        self.goes_down.succeed()
        self.goes_down = self.env.event()

    def carried(self, direction: Direction, size_bytes: float) -> Event:
        """Put bytes on the link now; the event is when they are out, if ever."""
        out_s = self._carrier.carry(direction, size_bytes, self.env.now)
        return self._at(out_s)

    def round_trip(self, up_bytes: float, down_bytes: float) -> Steps:
        """Have bytes go up, and others come down at once."""
        yield self.carried("up", up_bytes)
        yield self.carried("down", down_bytes)

    def _open(self, point: PointName) -> Steps:
        done = self.env.process(self._greet(point))
        yield done | self.env.timeout(OPEN_TIMEOUT_S)
        if not done.processed:
            done.interrupt()
            self.mark_down()

    def _greet(self, point: PointName) -> Steps:
        begun_s = self.env.now
        try:
            for up_bytes, down_bytes in OPENING_BYTES:
                begun_s = self.env.now
                yield from self.round_trip(up_bytes, down_bytes)
        except simpy.Interrupt:
            return
        self.streams[point] = True
        now_s = self.env.now
        self.cluster.note_loads([load for load in self.server.loads() if load.point == point], now_s=now_s)
        self.link.note_round_trip(now_s - begun_s, now_s=now_s)
        self.heard()

    def _travel(self, sent: _Sent, *, budget_s: float) -> Steps:
        yield self.carried("up", sent.size_bytes)
        yield self.env.timeout(self._tables.overhead_s)
        exchanged: Exchanged = yield self.server.exchange(sent.row, budget_s=budget_s)
        yield self.carried("down", self._tables.reply_bytes)
        self.heard()
        self.cluster.note_loads([exchanged.load], now_s=self.env.now)
        self._settle(sent, exchanged)

    def _settle(self, sent: _Sent, exchanged: Exchanged) -> None:
        now_s, reply_bytes = self.env.now, self._tables.reply_bytes
        took_s = now_s - sent.sent_s
        heeded = sent.state == "waiting" or (sent.state == "abandoned" and took_s < OUTAGE_S)
        if heeded and exchanged.refusal is None:
            self._confirmed = True
            moved_bytes = round(sent.size_bytes + reply_bytes)
            self.link.note_transfer(moved_bytes, max(took_s - exchanged.cluster_s, 0.0), now_s=now_s)
            self._ask_in_doubt()
        if sent.state != "waiting":
            return
        sent.state = "forgotten"
        if exchanged.refusal is None:
            sent.reply.succeed(VirtualReply(sent.size_bytes, reply_bytes))
            return
        self.cluster.note_refusal(self._points[sent.row], Overloaded(exchanged.refusal), now_s=now_s)
        sent.reply.succeed(VirtualReply(sent.size_bytes, fallback=f"refused:{exchanged.refusal}"))

    def _expire(self, sent: _Sent, until_s: float) -> Steps:
        yield self._at(until_s)
        if sent.state == "waiting":
            sent.reply.succeed(self._timed_out(sent, sent.since_s))

    def _timed_out(self, sent: _Sent | None, since_s: float) -> VirtualReply:
        now_s = self.env.now
        silent = self.last_heard_s < since_s
        if sent is not None:
            sent.state = "abandoned"
            if not silent or not self._confirmed:
                self.link.note_late(round(sent.size_bytes), now_s - sent.sent_s, now_s=now_s)
                self._ask_in_doubt()
        sent_bytes = sent.size_bytes if sent is not None else 0.0
        if silent and now_s - since_s >= self._meaningful_silence_s(sent_bytes):
            self.mark_down()
        return VirtualReply(sent_bytes, fallback="late")

    def _ask_in_doubt(self) -> None:
        if self.link.surprised and not self.doubt.triggered:
            self.doubt.succeed()

    def _meaningful_silence_s(self, sent_bytes: float) -> float:
        view = self.link.view(self.env.now)
        return max(LINK_TIMES * (view.base_s + sent_bytes * view.s_per_byte), LEAST_SILENCE_S)

    def _at(self, at_s: float) -> Event:
        if at_s == NEVER:
            return self.env.event()
        return self.env.timeout(max(at_s - self.env.now, 0.0))
