import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from loadtests.bottleneck import PACKET_BYTES
from loadtests.link_script import LinkState
from loadtests.relay_lane import Lane

# 8 Mbit/s are a thousand bytes a millisecond.
UP = LinkState(8.0, 0.0)
QUEUE_BYTES = 20 * PACKET_BYTES


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Emulation:
    """A lane on a clock that is moved by hand, and how many bytes of each sender came out of it."""

    def __init__(self, state: LinkState = UP) -> None:
        self.clock = Clock()
        self.lane = Lane(state, queue_bytes=QUEUE_BYTES, clock=self.clock)
        self.bytes: Counter[str] = Counter()

    def counting(self, name: str, size_bytes: int) -> Callable[[], None]:
        return partial(self.bytes.update, {name: size_bytes})

    async def pour(self, name: str) -> None:
        while True:
            size_bytes = self.lane.turn_bytes
            await self.lane.send(size_bytes, self.counting(name, size_bytes))

    async def run(self, *, for_s: float) -> Counter[str]:
        """Let milliseconds pass, and tell what came out in them."""
        before = self.bytes.copy()
        for _ in range(round(for_s * 1000)):
            self.clock.now_s += 0.001
            self.lane.deliver_due()
            await let_others_run()
        return self.bytes - before


async def let_others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def pouring(emulation: Emulation, *names: str) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        senders = [tasks.create_task(emulation.pour(name)) for name in names]
        yield
        for sender in senders:
            sender.cancel()


@pytest.mark.parametrize("rate_mbps", [1.0, 8.0, 100.0])
async def test_greedy_senders_get_equal_shares(rate_mbps: float) -> None:
    emulation = Emulation(LinkState(rate_mbps, 0.0))
    async with pouring(emulation, "one", "two", "three"):
        await emulation.run(for_s=0.5)
        shares = await emulation.run(for_s=2.0)

    assert max(shares.values()) <= 1.1 * min(shares.values())
    assert len(shares) == 3


async def test_a_sender_that_comes_later_gets_its_share_of_turns_at_once() -> None:
    emulation = Emulation()
    async with pouring(emulation, "first"):
        await emulation.run(for_s=0.5)
        async with pouring(emulation, "second"):
            await emulation.run(for_s=(QUEUE_BYTES + PACKET_BYTES) / 1e6)
            shares = await emulation.run(for_s=0.5)

    assert shares["second"] == pytest.approx(shares["first"], rel=0.1)


async def test_a_full_queue_holds_senders_back_and_delays_who_comes_next_by_its_bytes_over_the_rate() -> None:
    emulation = Emulation()
    async with pouring(emulation, "bulk"):
        await let_others_run()
        small = asyncio.create_task(emulation.lane.send(0, emulation.counting("small", 1)))
        queue_ms = QUEUE_BYTES // 1000
        before = await emulation.run(for_s=(queue_ms - 1) / 1000)
        after = await emulation.run(for_s=0.005)
        await small

    assert (before["small"], after["small"]) == (0, 1)


async def test_what_is_offered_waits_for_nothing_and_finds_no_room_in_a_full_queue() -> None:
    emulation = Emulation(LinkState(0.0, 0.0))
    delivered: list[int] = []

    assert emulation.lane.offer(15, delivered.append, at_s=0.0) == 15
    assert emulation.lane.offer(15, delivered.append, at_s=0.0) == 5
    assert emulation.lane.offer(15, delivered.append, at_s=0.0) == 0

    emulation.lane.set_state(UP)
    await emulation.run(for_s=0.1)
    assert delivered == [15, 5]


async def test_what_is_offered_late_uses_the_time_that_the_link_has_had_for_it() -> None:
    emulation = Emulation()
    delivered: list[int] = []
    emulation.clock.now_s = 1.0
    offered = [emulation.lane.offer(10, delivered.append, at_s=at_s) for at_s in (0.91, 0.93, 0.95, 0.97)]
    emulation.lane.deliver_due()

    assert offered == delivered == [10, 10, 10, 10]


async def test_senders_leave_room_for_what_is_offered() -> None:
    emulation = Emulation(LinkState(0.0, 0.0))
    emulation.lane.reserve(4 * PACKET_BYTES)
    async with pouring(emulation, "bulk"):
        await let_others_run()

        assert emulation.lane.offer(5, lambda _: None, at_s=0.0) == 4


async def test_a_reserve_never_takes_more_than_half_of_the_queue_from_the_senders() -> None:
    emulation = Emulation(LinkState(0.0, 0.0))
    emulation.lane.reserve(1000 * PACKET_BYTES)
    async with pouring(emulation, "bulk"):
        await let_others_run()

        assert emulation.lane.offer(1000, lambda _: None, at_s=0.0) == 10


async def test_a_reserve_that_is_given_back_lets_the_senders_in_at_once() -> None:
    emulation = Emulation(LinkState(0.0, 0.0))
    emulation.lane.reserve(4 * PACKET_BYTES)
    async with pouring(emulation, "bulk"):
        await let_others_run()
        emulation.lane.reserve(0)
        await let_others_run()

        assert emulation.lane.offer(1, lambda _: None, at_s=0.0) == 0


def test_a_window_has_room_for_the_queue_and_for_what_is_under_way_with_the_most_jitter() -> None:
    lane = Lane(LinkState(8.0, 0.010, jitter_s=0.002), queue_bytes=QUEUE_BYTES)

    assert lane.window_bytes == QUEUE_BYTES + 30_000
