"""The book of frames that wait for a reply, and of those that were given up but may still get one."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from device_agent.stream import PointStream, Received
from wire.errors import IsthmusError

OUTAGE_S: Final = 1.5
"""A reply that took longer than this says that the link was away, not that it is slow."""
_ABANDONED_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class SentFrame:
    """A frame under way: on which stream, its message's bytes and when they were sent (``time.perf_counter``)."""

    stream: PointStream
    reply: asyncio.Future[Received]
    sent_bytes: int
    pack_s: float
    sent_s: float


class FramesUnderWay:
    """Hands every reply to the frame that waits for it, once."""

    def __init__(self) -> None:
        self.late_dropped = 0
        """Replies that nobody waited for any more."""
        self._waiting: dict[int, SentFrame] = {}
        self._abandoned: OrderedDict[int, SentFrame] = OrderedDict()

    def add(self, frame_id: int, sent: SentFrame) -> None:
        """Let a frame wait for its reply."""
        self._waiting[frame_id] = sent

    def forget(self, frame_id: int) -> None:
        """Let a frame wait no longer."""
        self._waiting.pop(frame_id, None)

    def find(self, frame_id: int) -> SentFrame | None:
        """Give a frame that waits."""
        return self._waiting.get(frame_id)

    def replies_on(self, stream: PointStream) -> list[asyncio.Future[Received]]:
        """Give what is waited for on a stream."""
        return [sent.reply for sent in self._waiting.values() if sent.stream is stream]

    def settle(self, frame_id: int, received: Received) -> SentFrame | None:
        """Hand over a reply; give what was sent for it, if the time between the two tells of the link."""
        sent = self._waiting.pop(frame_id, None)
        if sent is not None and not sent.reply.done():
            sent.reply.set_result(received)
            return sent
        self.late_dropped += 1
        late = self._abandoned.pop(frame_id, None)
        return late if late is not None and received.at_s - late.sent_s < OUTAGE_S else None

    def abandon(self, frame_id: int, sent: SentFrame) -> None:
        """Remember a frame whose time ran out: its reply may come yet, and tells of the link."""
        self._abandoned[frame_id] = sent
        if len(self._abandoned) > _ABANDONED_KEPT:
            self._abandoned.popitem(last=False)

    def give_up(self, frame_id: int) -> None:
        """End a frame's wait as if its time had run out."""
        sent = self._waiting.get(frame_id)
        if sent is not None and not sent.reply.done():
            sent.reply.set_exception(TimeoutError())

    def fail(self, stream: PointStream, error: IsthmusError) -> None:
        """End the wait of all frames on a stream with an error."""
        for reply in self.replies_on(stream):
            if not reply.done():
                reply.set_exception(error)
                # A frame that timed out in this very moment no longer asks.
                reply.exception()
