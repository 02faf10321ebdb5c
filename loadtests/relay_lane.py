"""One direction of a relay, in time: a bottleneck, the timer that empties it, and turns for those who wait for room.

Knows nothing of sockets: what is sent is a size, and what to call when it has come out.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from loadtests.bottleneck import PACKET_BYTES, Bottleneck
from loadtests.link_script import LinkState

Delivery = Callable[[], None]

_TURN_BYTES_MAX: Final = 16 * 1024
_TURN_S: Final = 0.0005
_SLEEP_S_MIN: Final = 0.001


class Lane:
    """A bottleneck that runs by the clock, and whose queue senders enter in turn.

    Senders that always have more to send get equal shares: each waits for room once for each of its turns, and
    turns are all of ``turn_bytes``. The queue may exceed ``queue_bytes`` by less than one turn.
    """

    def __init__(
        self, state: LinkState, *, queue_bytes: int, seed: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bottleneck: Bottleneck[Delivery] = Bottleneck(state, queue_bytes=queue_bytes, seed=seed)
        self._state = state
        self._clock = clock
        self._reserved_bytes = 0
        self._turn = asyncio.Lock()  # fair: it is taken in the order in which it was asked for
        self._room = asyncio.Event()
        self._room.set()
        self._wake = asyncio.Event()

    @property
    def turn_bytes(self) -> int:
        """How much a sender puts in at once: a packet, or on a fast link what leaves within half a millisecond."""
        return max(PACKET_BYTES, min(_TURN_BYTES_MAX, int(self._state.bytes_per_s * _TURN_S)))

    @property
    def window_bytes(self) -> int:
        """The most that one sender may have between its two ends: a full queue and a full link."""
        under_way_s = self._state.delay_s + self._state.jitter_max_s
        return self._bottleneck.queue_bytes + int(self._state.bytes_per_s * under_way_s)

    def set_state(self, state: LinkState) -> None:
        """Change the link at once, for what is queued too."""
        self._state = state
        self._bottleneck.set_state(state, now_s=self._clock())
        self._wake.set()

    def reserve(self, size_bytes: int) -> None:
        """Keep this much of the queue, but at most half of it, for what is offered; senders wait before it."""
        self._reserved_bytes = min(size_bytes, self._bottleneck.queue_bytes // 2)
        self._tell_room()

    async def send(self, size_bytes: int, deliver: Delivery) -> None:
        """Queue ``size_bytes`` (0 is allowed) once it is the sender's turn and there is room."""
        async with self._turn:
            await self._room.wait()
            self._push(size_bytes, deliver, at_s=self._clock())

    def offer(self, packets: int, deliver: Callable[[int], None], *, at_s: float) -> int:
        """Queue as many of these packets as find room, as one item, and tell how many did; none waits.

        ``at_s`` is when they came, which may have been a little earlier than now.
        """
        self._deliver_by(at_s)
        fitting = min(packets, self._bottleneck.room_bytes // PACKET_BYTES)
        if fitting:
            self._push(fitting * PACKET_BYTES, lambda: deliver(fitting), at_s=at_s)
        return fitting

    async def run(self) -> None:
        """Deliver what comes out of the bottleneck, and sleep until more does.

        No sleep is shorter than a millisecond, so that a fast link does not take a processor for itself. Only a delay
        that is shorter shows it: when a packet leaves the queue is computed and not observed.
        """
        while True:
            self.deliver_due()
            await self._sleep_until(self._bottleneck.next_event_s())
            self._wake.clear()

    def deliver_due(self) -> None:
        """Deliver what has come out by now, and let the next sender in if there is room for it."""
        self._deliver_by(self._clock())

    def _deliver_by(self, at_s: float) -> None:
        for deliver in self._bottleneck.take_due(at_s):
            deliver()
        self._tell_room()

    def _push(self, size_bytes: int, deliver: Delivery, *, at_s: float) -> None:
        if self._bottleneck.queued_bytes == 0:
            self._wake.set()
        self._bottleneck.push(deliver, size_bytes, now_s=at_s)
        self._tell_room()

    def _tell_room(self) -> None:
        if self._bottleneck.room_bytes > self._reserved_bytes:
            self._room.set()
        else:
            self._room.clear()

    async def _sleep_until(self, at_s: float | None) -> None:
        if at_s is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(_SLEEP_S_MIN, at_s - self._clock()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
