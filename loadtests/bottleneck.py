"""The physics of one direction of a link: a queue that empties at a rate, then a delay. Pure: times go in.

First in, first out, and never loses a byte. No sockets, no clock, no asyncio.
"""

import random
from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from loadtests.link_script import LinkState
from wire.errors import SettingError

Item = TypeVar("Item")

PACKET_BYTES: Final = 1460
"""What an Ethernet frame carries of a TCP stream."""
QUEUE_BYTES: Final = 256 * 1024
"""The bound of the queue where nobody asks for another."""


@dataclass(slots=True)
class _Held(Generic[Item]):
    item: Item
    size_bytes: int
    arrived_s: float
    left_bytes: float
    due_s: float = 0.0


class Bottleneck(Generic[Item]):
    """One direction of a link: a queue that empties at the link's rate, then a propagation delay with jitter.

    Every call says what time it is (``now_s``, any clock that never goes back), so late timers do not slow
    the link: what should have left by now has left, at the moment when it should have.

    ``queue_bytes`` bounds the queue by ``room_bytes``, which whoever pushes has to look at; an item that is pushed
    into less room than it needs is not cut. ``seed`` decides every packet's jitter.

    Raises:
        SettingError: the queue is too short for one packet.
    """

    def __init__(self, state: LinkState, *, queue_bytes: int = QUEUE_BYTES, seed: int = 0) -> None:
        if queue_bytes < PACKET_BYTES:
            mend = f"give {PACKET_BYTES} or more"
            raise SettingError(f"a queue of {queue_bytes} bytes holds no packet", mend=mend)
        self.queue_bytes = queue_bytes
        self.queued_bytes = 0
        self._state = state
        self._random = random.Random(seed)
        self._queue: deque[_Held[Item]] = deque()
        self._flying: deque[_Held[Item]] = deque()
        self._free_at_s = 0.0

    @property
    def room_bytes(self) -> int:
        """How much more the queue takes, as of the last ``take_due`` or ``set_state``; 0 where it is full."""
        return max(0, self.queue_bytes - self.queued_bytes)

    def push(self, item: Item, size_bytes: int, *, now_s: float) -> None:
        """Put one item of ``size_bytes`` (0 is allowed) at the end of the queue; ``now_s`` may be in the past."""
        self._queue.append(_Held(item, size_bytes, now_s, size_bytes))
        self.queued_bytes += size_bytes

    def take_due(self, now_s: float) -> list[Item]:
        """Take what has come out of the far end by ``now_s``, in order."""
        self._transmit(now_s)
        due = []
        while self._flying and self._flying[0].due_s <= now_s:
            due.append(self._flying.popleft().item)
        return due

    def next_event_s(self) -> float | None:
        """Tell when the next item leaves the queue or comes out; None if nothing will happen by itself."""
        times_s = [self._flying[0].due_s] if self._flying else []
        if self._queue and self._state.bytes_per_s:
            times_s.append(self._leaves_s(self._queue[0]))
        return min(times_s, default=None)

    def set_state(self, state: LinkState, *, now_s: float) -> None:
        """Change rate, delay and jitter from ``now_s`` on.

        What is queued leaves at the new rate. If the link goes down, what was under way is lost and has to be
        sent again, so it goes back to the front of the queue.
        """
        self._transmit(now_s)
        if self._queue:
            head = self._queue[0]
            sent_s = max(0.0, now_s - self._begins_s(head))
            head.left_bytes = max(0.0, head.left_bytes - sent_s * self._state.bytes_per_s)
        self._free_at_s = max(self._free_at_s, now_s)
        self._state = state
        if state.rate_mbps is None:
            self._take_back()

    def _transmit(self, now_s: float) -> None:
        if not self._state.bytes_per_s:
            return
        while self._queue and (leaves_s := self._leaves_s(self._queue[0])) <= now_s:
            held = self._queue.popleft()
            self.queued_bytes -= held.size_bytes
            self._free_at_s = leaves_s
            jitter_s = self._state.draw_jitter_s(self._random)
            # A delay that has just shrunk, or less jitter, must not let the later item overtake.
            earliest_s = self._flying[-1].due_s if self._flying else 0.0
            held.due_s = max(earliest_s, leaves_s + self._state.delay_s + jitter_s)
            self._flying.append(held)

    def _take_back(self) -> None:
        self.queued_bytes += sum(held.size_bytes for held in self._flying)
        self._queue.extendleft(reversed(self._flying))
        self._flying.clear()
        for held in self._queue:
            held.left_bytes = held.size_bytes

    def _begins_s(self, held: _Held[Item]) -> float:
        return max(self._free_at_s, held.arrived_s)

    def _leaves_s(self, held: _Held[Item]) -> float:
        return self._begins_s(held) + held.left_bytes / self._state.bytes_per_s
