"""Filler that competes with a relay's connections for one direction of its link, with no peer at either end.

Packets of 1460 bytes enter the lane's queue like anyone's and are counted, and dropped, where they come out.
Packets that fall into the same few milliseconds travel as one item: one by one, 50 Mbit/s would be 4,300 timers
a second. So a small message may wait behind up to `CHUNK_S` of the flow where one packet would have gone first.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from loadtests.bottleneck import PACKET_BYTES
from loadtests.link_script import RATE_MBPS_MAX
from loadtests.relay_lane import Lane
from wire.errors import SettingError

CHUNK_S: Final = 0.004
_CHUNKS_RESERVED: Final = 4


class BackgroundFlow:
    """One flow of filler into one lane: none, of a constant bit rate, or greedy.

    A constant flow asks nobody: a packet that finds the queue full is dropped. The connections' back-pressure keeps
    room for a few of its chunks, as TCP would that backs off when a queue is full, so on a busy link the flow gets its
    rate and the connections share the rest; a flow at or above the link's rate leaves them nothing. A greedy flow
    (``math.inf``) waits for its turn as one more greedy connection and loses nothing.
    """

    def __init__(self, lane: Lane, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lane = lane
        self._clock = clock
        self._changed = asyncio.Event()
        self.rate_mbps = 0.0
        self.delivered_bytes = 0
        self.dropped_bytes = 0

    def set_rate(self, rate_mbps: float) -> None:
        """Run from now on at ``rate_mbps`` (10⁶ bits a second), at 0 not at all, at ``math.inf`` greedily.

        Raises:
            SettingError: the rate is negative, no number, or more than any link's.
        """
        if not (0 <= rate_mbps <= RATE_MBPS_MAX or rate_mbps == math.inf):
            mend = f"give a rate from 0 to {RATE_MBPS_MAX:g} Mbit/s, or inf for as much as its turns give it"
            raise SettingError(f"background traffic cannot run at {rate_mbps} Mbit/s", mend=mend)
        self.rate_mbps = rate_mbps
        constant_mbps = rate_mbps if math.isfinite(rate_mbps) else 0.0
        self._lane.reserve(math.ceil(constant_mbps * 1e6 / 8 * CHUNK_S * _CHUNKS_RESERVED))
        self._changed.set()

    async def run(self) -> None:
        """Send filler at the rate that was last set."""
        while True:
            self._changed.clear()
            if self.rate_mbps == 0:
                await self._changed.wait()
            elif math.isinf(self.rate_mbps):
                size_bytes = self._lane.turn_bytes
                await self._lane.send(size_bytes, partial(self._deliver, size_bytes))
            else:
                await self._run_constant(ChunkSchedule(self.rate_mbps, began_s=self._clock()))

    async def _run_constant(self, schedule: "ChunkSchedule") -> None:
        while not self._changed.is_set():
            # After a late timer each chunk still enters the queue when it was due.
            for due_s in schedule.take_due(self._clock()):
                queued = self._lane.offer(schedule.packets, self._deliver_packets, at_s=due_s)
                self.dropped_bytes += (schedule.packets - queued) * PACKET_BYTES
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(schedule.next_s - self._clock()):
                    await self._changed.wait()

    def _deliver_packets(self, packets: int) -> None:
        self._deliver(packets * PACKET_BYTES)

    def _deliver(self, size_bytes: int) -> None:
        self.delivered_bytes += size_bytes


class ChunkSchedule:
    """When the chunks of a constant bit rate are due. Pure: times go in."""

    def __init__(self, rate_mbps: float, *, began_s: float) -> None:
        packets_per_s = rate_mbps * 1e6 / 8 / PACKET_BYTES
        self.packets = math.ceil(packets_per_s * CHUNK_S)
        """How many packets a chunk has: those of `CHUNK_S`, or one."""
        self._chunk_s = self.packets / packets_per_s
        self._began_s = began_s
        self._taken = 0

    @property
    def next_s(self) -> float:
        """When the next chunk is due, which is when the last of its packets is."""
        return self._began_s + (self._taken + 1) * self._chunk_s

    def take_due(self, now_s: float) -> Iterator[float]:
        """Give the times at which chunks fell due by ``now_s``, each once."""
        while (due_s := self.next_s) <= now_s:
            self._taken += 1
            yield due_s
