import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from device_agent import frame_feed
from device_agent.frame_feed import FRAMES_AHEAD, DueFrame, FrameFeed
from device_agent.sources import SourceFrame
from wire.errors import SourceError

PATIENCE_S = 10.0
LONG_AGO_S = 3600.0


def picture(value: int, due_s: float = 0.0) -> SourceFrame:
    return SourceFrame(due_s, np.full((1, 2, 2, 3), value, np.uint8))


def recording(due_s: list[float]) -> Iterator[SourceFrame]:
    return (picture(number, due) for number, due in enumerate(due_s))


def seen(frames: list[DueFrame]) -> list[tuple[int, int]]:
    """Give the number of each frame, and the number that was painted into its pixels."""
    return [(frame.frame_id, int(frame.pixels.max())) for frame in frames]


class Camera:
    """A source that gives a frame when the test says so, and tells when the feed has it."""

    def __init__(self) -> None:
        self._shown: queue.SimpleQueue[SourceFrame | Exception | None] = queue.SimpleQueue()
        self._read = threading.Semaphore(0)
        self._count = 0

    def frames(self) -> Iterator[SourceFrame]:
        while (item := self._shown.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
            self._read.release()

    async def show(self, count: int, *, age_s: float = 0.0) -> None:
        """Give the next frames, due ``age_s`` ago, and wait until the feed has come back for more after each."""
        await asyncio.to_thread(self._show, count, age_s)

    def end(self, error: Exception | None = None) -> None:
        self._shown.put(error)

    def _show(self, count: int, age_s: float) -> None:
        for number in range(self._count, self._count + count):
            self._shown.put(picture(number, time.monotonic() - age_s))
            assert self._read.acquire(timeout=PATIENCE_S), "the feed does not read"
        self._count += count


@dataclass
class Clock:
    """Stands in the feed for the module ``time``; the event loop keeps the true one."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def camera() -> Iterator[Camera]:
    camera = Camera()
    yield camera
    camera.end()


@pytest.fixture
def stop() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(frame_feed, "time", clock)
    return clock


def live(camera: Camera, *, kept: int = 1, max_age_s: float | None = None) -> FrameFeed:
    return FrameFeed(camera.frames(), live=True, paced=True, kept=kept, max_age_s=max_age_s)


async def take(feed: FrameFeed, stop: asyncio.Event) -> DueFrame:
    async with asyncio.timeout(PATIENCE_S):
        frame = await feed.take(stop)
    assert frame is not None
    return frame


async def take_all(feed: FrameFeed, stop: asyncio.Event) -> list[DueFrame]:
    frames = []
    async with asyncio.timeout(PATIENCE_S):
        while (frame := await feed.take(stop)) is not None:
            frames.append(frame)
    return frames


def source_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "isthmus-source"]


@pytest.mark.parametrize("paced", [True, False])
async def test_every_frame_of_a_recording_is_handed_over_however_late_the_reader(
    stop: asyncio.Event, *, paced: bool
) -> None:
    due_s = [0.0, *(-LONG_AGO_S + number for number in range(9))]
    async with FrameFeed(recording(due_s), live=False, paced=paced, max_age_s=0.0) as feed:
        assert seen(await take_all(feed, stop)) == [(number, number) for number in range(10)]
    assert not feed.skipped


async def test_a_recording_is_read_a_few_frames_ahead_and_no_further(stop: asyncio.Event) -> None:
    read = threading.Semaphore(0)
    count = 0

    def counted() -> Iterator[SourceFrame]:
        nonlocal count
        for frame in recording([0.0] * 100):
            count += 1
            read.release()
            yield frame

    async with FrameFeed(counted(), live=False, paced=False) as feed:
        for taken in range(20):
            # The frames that wait, and the one for which the thread looks for room.
            while count < taken + FRAMES_AHEAD + 1:
                assert await asyncio.to_thread(read.acquire, timeout=PATIENCE_S)
            assert count == taken + FRAMES_AHEAD + 1
            await take(feed, stop)


async def test_no_frame_of_a_paced_recording_comes_before_it_is_due(stop: asyncio.Event) -> None:
    async with FrameFeed(recording([0.0, 0.002, 0.005]), live=False, paced=True) as feed:
        frames = []
        for _ in range(3):
            frames.append(await take(feed, stop))
            assert time.monotonic() >= frames[-1].due_s - 1e-6
    assert [later.due_s - first.due_s for first, later in pairwise(frames)] == pytest.approx([0.002, 0.003])


async def test_a_camera_is_read_while_the_agent_is_busy_and_only_its_newest_frame_waits(
    camera: Camera, stop: asyncio.Event
) -> None:
    async with live(camera) as feed:
        await camera.show(5)
        assert feed.skipped == {"newer_frame": 4}
        first = await take(feed, stop)
        await camera.show(1)
        second = await take(feed, stop)
        await camera.show(3)
        third = await take(feed, stop)
        camera.end()
    assert seen([first, second, third]) == [(4, 4), (5, 5), (8, 8)]
    assert feed.skipped == {"newer_frame": 6}


async def test_as_many_frames_of_a_camera_wait_as_the_feed_is_told_to_keep(camera: Camera, stop: asyncio.Event) -> None:
    async with live(camera, kept=3) as feed:
        await camera.show(3)
        assert not feed.skipped
        await camera.show(4)
        camera.end()
        assert seen(await take_all(feed, stop)) == [(4, 4), (5, 5), (6, 6)]
    assert feed.skipped == {"newer_frame": 4}


async def test_an_agent_that_waits_for_a_camera_misses_none_of_its_frames(camera: Camera, stop: asyncio.Event) -> None:
    async with live(camera) as feed:
        for number in range(20):
            taking = asyncio.create_task(take(feed, stop))
            await camera.show(1)
            assert seen([await taking]) == [(number, number)]
        camera.end()
    assert not feed.skipped


async def test_a_frame_that_aged_while_the_agent_was_busy_is_skipped_for_the_next_one(
    camera: Camera, stop: asyncio.Event
) -> None:
    async with live(camera, max_age_s=60.0) as feed:
        await camera.show(2, age_s=LONG_AGO_S)
        taking = asyncio.create_task(take(feed, stop))
        # One turn of the loop: it skips what is there, and waits.
        await asyncio.sleep(0)
        assert feed.skipped == {"newer_frame": 1, "too_old": 1}
        await camera.show(1)
        assert seen([await taking]) == [(2, 2)]
        await camera.show(1, age_s=LONG_AGO_S)
        camera.end()
        assert await take_all(feed, stop) == []
    assert feed.skipped == {"newer_frame": 1, "too_old": 2}


async def test_every_frame_of_a_camera_is_taken_or_counted_as_skipped(camera: Camera, stop: asyncio.Event) -> None:
    taken = []
    async with live(camera, kept=2, max_age_s=60.0) as feed:
        for count, age_s in ((3, 0.0), (1, LONG_AGO_S), (4, 0.0), (1, LONG_AGO_S), (1, 0.0)):
            await camera.show(count, age_s=age_s)
            taken.append(await take(feed, stop))
        camera.end()
        taken += await take_all(feed, stop)
    assert seen(taken) == [(number, number) for number in (1, 2, 6, 7, 9)]
    assert feed.skipped == {"newer_frame": 4, "too_old": 1}


@pytest.mark.parametrize(
    ("kept", "expected", "skipped"),
    [(1, [0, 4, 5, 9], 6), (2, [0, 3, 4, 8, 9], 5), (5, [0, 1, 2, 5, 6, 7, 8, 9], 2)],
)
async def test_a_recording_may_be_skipped_as_a_camera_by_due_times_alone(
    clock: Clock, stop: asyncio.Event, kept: int, expected: list[int], skipped: int
) -> None:
    """The agent is busy for 4.5 frames, answers at once, is busy again, and answers the rest at once."""
    due_s = [0.002 * number for number in range(10)]
    taken = []
    async with FrameFeed(recording(due_s), live=False, paced=True, kept=kept, skip_late=True) as feed:
        for after_s in (0.0, 0.009, 0.010, 0.019):
            clock.now_s = 1000.0 + after_s
            taken.append(await take(feed, stop))
        taken += await take_all(feed, stop)
    assert seen(taken) == [(number, number) for number in expected]
    assert [frame.due_s - 1000.0 for frame in taken] == pytest.approx([0.002 * number for number in expected])
    assert feed.skipped == {"newer_frame": skipped}


async def test_a_late_frame_of_a_recording_waits_for_its_successor_to_be_read(
    clock: Clock, stop: asyncio.Event
) -> None:
    gate = threading.Event()

    def slow() -> Iterator[SourceFrame]:
        yield picture(0)
        yield picture(1, 1.0)
        assert gate.wait(PATIENCE_S)
        yield picture(2, 2.0)
        yield picture(3, 9.0)

    async with FrameFeed(slow(), live=False, paced=True, skip_late=True) as feed:
        await take(feed, stop)
        clock.now_s += 3.0
        taking = asyncio.create_task(take(feed, stop))
        await asyncio.sleep(0.002)
        assert not taking.done()
        gate.set()
        assert seen([await taking]) == [(2, 2)]
    assert feed.skipped == {"newer_frame": 1}


async def test_a_late_frame_that_none_follows_in_time_is_handed_over_unless_it_is_too_old(
    clock: Clock, stop: asyncio.Event
) -> None:
    for max_age_s, expected in ((5.0, [0, 2]), (4.0, [0])):
        clip = recording([0.0, 1.0, 2.0])
        async with FrameFeed(clip, live=False, paced=True, skip_late=True, max_age_s=max_age_s) as feed:
            taken = [await take(feed, stop)]
            clock.now_s += 6.5
            assert seen(taken + await take_all(feed, stop)) == [(number, number) for number in expected]
        assert feed.skipped == ({"newer_frame": 1} if max_age_s == 5.0 else {"newer_frame": 1, "too_old": 1})


async def test_a_recording_without_due_times_is_never_skipped(stop: asyncio.Event) -> None:
    async with FrameFeed(recording([0.0] * 9), live=False, paced=False, skip_late=True, max_age_s=0.0) as feed:
        assert len(await take_all(feed, stop)) == 9
    assert not feed.skipped


async def test_what_ends_a_camera_is_heard_after_the_frame_that_waits(camera: Camera, stop: asyncio.Event) -> None:
    async with live(camera) as feed:
        await camera.show(3)
        camera.end(SourceError("the camera is gone", mend="plug it in"))
        assert (await take(feed, stop)).frame_id == 2
        with pytest.raises(SourceError, match="the camera is gone"):
            await take(feed, stop)


@pytest.mark.parametrize("skip_late", [True, False])
async def test_a_fault_of_a_recording_is_heard_after_its_frames(stop: asyncio.Event, *, skip_late: bool) -> None:
    def torn() -> Iterator[SourceFrame]:
        yield picture(0)
        yield picture(1, -LONG_AGO_S)
        raise SourceError("the file is torn", mend="get another")

    async with FrameFeed(torn(), live=False, paced=True, skip_late=skip_late) as feed:
        assert seen([await take(feed, stop), await take(feed, stop)]) == [(0, 0), (1, 1)]
        with pytest.raises(SourceError, match="the file is torn"):
            await take(feed, stop)


async def test_a_foreign_fault_of_a_source_is_told_as_our_own(camera: Camera, stop: asyncio.Event) -> None:
    async with live(camera) as feed:
        camera.end(ZeroDivisionError("odd"))
        with pytest.raises(frame_feed.IsthmusError, match="odd") as caught:
            await take(feed, stop)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_a_stopped_agent_gets_no_more_frames_though_some_are_late(stop: asyncio.Event) -> None:
    async with FrameFeed(recording([0.0] * 9), live=False, paced=False) as feed:
        await take(feed, stop)
        stop.set()
        assert await feed.take(stop) is None


@pytest.mark.parametrize("due_s", [[], [0.0, LONG_AGO_S]], ids=["no frame", "a frame that is not due"])
async def test_a_stop_ends_the_wait_for_a_frame(camera: Camera, stop: asyncio.Event, due_s: list[float]) -> None:
    def frames() -> Iterator[SourceFrame]:
        yield from recording(due_s)
        yield from camera.frames()

    async with FrameFeed(frames(), live=False, paced=True) as feed:
        if due_s:
            await take(feed, stop)
        taking = asyncio.create_task(feed.take(stop))
        await asyncio.sleep(0.002)
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            assert await taking is None
        camera.end()


async def test_a_thread_that_waits_for_room_ends_with_the_feed() -> None:
    before = source_threads()
    async with FrameFeed(recording([0.0] * 100), live=False, paced=True):
        [thread] = [thread for thread in source_threads() if thread not in before]
    assert not thread.is_alive()


async def test_a_camera_that_hangs_keeps_neither_the_feed_nor_the_process(camera: Camera) -> None:
    before = source_threads()
    async with live(camera) as feed:
        await camera.show(2)
        [thread] = [thread for thread in source_threads() if thread not in before]
    assert thread.is_alive()
    assert thread.daemon
    # It comes back when nobody listens: its frame is not counted, and its thread ends.
    camera.end(SourceError("too late", mend=""))
    await asyncio.to_thread(thread.join, PATIENCE_S)
    assert not thread.is_alive()
    assert feed.skipped == {"newer_frame": 1}


def test_a_camera_that_outlives_the_event_loop_wakes_nobody(camera: Camera) -> None:
    before = source_threads()

    async def leave_it_hanging() -> FrameFeed:
        async with live(camera) as feed:
            return feed

    feed = asyncio.run(leave_it_hanging())
    [thread] = [thread for thread in source_threads() if thread not in before]
    camera._shown.put(picture(0))
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not feed.skipped


async def test_what_was_skipped_is_told_as_a_copy_before_during_and_after(camera: Camera) -> None:
    feed = live(camera)
    assert feed.skipped == {}
    async with feed:
        await camera.show(2)
        feed.skipped.clear()
        camera.end()
    assert feed.skipped == {"newer_frame": 1}
