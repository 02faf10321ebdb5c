"""The feed: reads a source in a thread of its own, a few frames ahead, and hands each over when it is due.

Owns that thread, what waits between it and the agent, and what was skipped there and why.
"""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeVar

from device_agent.sources import Pixels, SourceFrame
from wire.errors import IsthmusError

FRAMES_AHEAD: Final = 3
_CLOSE_S: Final = 0.2

SkipReason = Literal["newer_frame", "too_old"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DueFrame:
    """A frame whose time has come; ``due_s`` is in seconds on the monotonic clock.

    ``frame_id`` counts the frames that the source gave, from 0: those that were skipped leave gaps.
    """

    frame_id: int
    due_s: float
    pixels: Pixels


class FrameFeed:
    """Frames in order, each not before it is due. An asynchronous context manager that owns its thread.

    Of a recording every frame is handed over, however late the reader comes; ``paced`` says that its due
    times matter at all. A ``live`` source gives due times on the monotonic clock and is read without
    pause: only its newest ``kept`` frames wait, older ones are skipped as ``newer_frame``. With
    ``skip_late`` a paced recording is treated as live: a frame is skipped as ``newer_frame`` if ``kept``
    later ones were due when the reader asked, whatever had been read by then. Where frames may be skipped,
    one that had been due for more than ``max_age_s`` seconds when the reader asked is, as ``too_old``.
    """

    def __init__(
        self,
        frames: Iterator[SourceFrame],
        *,
        live: bool,
        paced: bool,
        kept: int = 1,
        skip_late: bool = False,
        max_age_s: float | None = None,
    ) -> None:
        assert kept >= 1
        self._frames = frames
        self._live = live
        self._paced = paced
        self._kept = kept
        self._skips_late = skip_late and paced and not live
        self._max_age_s = max_age_s if live or self._skips_late else None
        self._shelf = _Shelf(kept if live else max(FRAMES_AHEAD, kept), newest=live)
        self._changed = asyncio.Event()
        self._start_s: float | None = None

    @property
    def skipped(self) -> Counter[str]:
        """How many frames were skipped so far, by reason; a copy, from any thread, at any time."""
        return self._shelf.skipped()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        # A daemon: a camera that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._read, args=(wake,), name="isthmus-source", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shelf.close()
        # Short, since a camera may hang; the thread ends as soon as its source lets it go.
        await asyncio.to_thread(self._thread.join, _CLOSE_S)

    async def take(self, stop: asyncio.Event) -> DueFrame | None:
        """Wait for the next frame and its due time; None at the end, or once ``stop`` is set.

        One reader at a time. Raises what the source raised, after the frames before it.
        """
        asked_s = time.monotonic()
        while await self._holds(1, stop):
            numbered = self._shelf.take()
            if numbered is None:
                return None
            frame_id, frame = numbered
            due_s = self._due_s(frame)
            later_s = await self._later_due_s(due_s, asked_s, stop)
            reason = _skip_reason(due_s, later_s, asked_s, self._max_age_s)
            if reason is None:
                await self._wait_until(due_s, stop)
                return None if stop.is_set() else DueFrame(frame_id, due_s, frame.pixels)
            self._shelf.note_skipped(reason)
        return None

    def _due_s(self, frame: SourceFrame) -> float:
        if self._live:
            return frame.due_s
        if self._start_s is None:
            self._start_s = time.monotonic()
        return self._start_s + frame.due_s if self._paced else time.monotonic()

    async def _later_due_s(self, due_s: float, asked_s: float, stop: asyncio.Event) -> float | None:
        """Say when the frame is due that would take the place of one that has been taken; None if none can."""
        if not self._skips_late or due_s > asked_s or not await self._holds(self._kept, stop):
            return None
        later = self._shelf.peek(self._kept - 1)
        return None if later is None else self._due_s(later)

    async def _wait_until(self, due_s: float, stop: asyncio.Event) -> None:
        left_s = due_s - time.monotonic()
        if left_s > 0:
            await _unless(stop, asyncio.sleep(left_s))

    async def _holds(self, count: int, stop: asyncio.Event) -> bool:
        """Wait until ``count`` frames are there, or no more will come; False once ``stop`` is set."""
        while not stop.is_set():
            # Cleared before the look: a frame that comes after the look sets it again.
            self._changed.clear()
            if self._shelf.holds(count):
                return True
            await _unless(stop, self._changed.wait())
        return False

    def _read(self, wake: Callable[[], None]) -> None:
        last: IsthmusError | None = None
        try:
            for frame in self._frames:
                if not self._shelf.put(frame, wake):
                    return
        except IsthmusError as error:
            last = error
        except Exception as error:  # noqa: BLE001  (the edge of a thread: the agent must hear of any fault)
            last = IsthmusError(f"the frame source failed: {error!r}", mend="report this as a fault of Isthmus")
            last.__cause__ = error
        self._shelf.end(last, wake)


class _Shelf:
    """The frames that were read and not yet taken, at most ``room``: all that thread and event loop share.

    With ``newest`` a frame that finds no room takes the oldest one's; else the thread waits. ``wake`` is
    called with the lock held, so that nobody is woken once ``close`` has returned.
    """

    def __init__(self, room: int, *, newest: bool) -> None:
        self._room = room
        self._newest = newest
        self._changed = threading.Condition()
        self._frames: deque[tuple[int, SourceFrame]] = deque()
        self._skipped: Counter[str] = Counter()
        self._next_id = 0
        self._error: IsthmusError | None = None
        self._ended = False
        self._closed = False

    def put(self, frame: SourceFrame, wake: Callable[[], None]) -> bool:
        """Give the frame its number and let it wait; False once the feed is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._newest or len(self._frames) < self._room)
            if self._closed:
                return False
            if len(self._frames) == self._room:
                self._frames.popleft()
                self._skipped["newer_frame"] += 1
            self._frames.append((self._next_id, frame))
            self._next_id += 1
            wake()
            return True

    def end(self, error: IsthmusError | None, wake: Callable[[], None]) -> None:
        """Note that no more frames will come, and what kept them."""
        with self._changed:
            self._error = error
            self._ended = True
            if not self._closed:
                wake()

    def holds(self, count: int) -> bool:
        """Tell whether ``count`` frames are there, or no more will come."""
        with self._changed:
            return self._ended or len(self._frames) >= count

    def take(self) -> tuple[int, SourceFrame] | None:
        """Take the oldest frame and its number; None after the last, or the source's error is raised."""
        with self._changed:
            if self._frames:
                self._changed.notify()
                return self._frames.popleft()
            if self._error is not None:
                raise self._error
            return None

    def peek(self, index: int) -> SourceFrame | None:
        """Look at a waiting frame, the oldest of which is 0; None if there are not so many."""
        with self._changed:
            return self._frames[index][1] if index < len(self._frames) else None

    def note_skipped(self, reason: SkipReason) -> None:
        """Count a frame that was taken and is not handed over."""
        with self._changed:
            self._skipped[reason] += 1

    def skipped(self) -> Counter[str]:
        """Copy the counts."""
        with self._changed:
            return self._skipped.copy()

    def close(self) -> None:
        """Let the thread go, at its next frame if it waits for its source."""
        with self._changed:
            self._closed = True
            self._changed.notify()


def _skip_reason(due_s: float, later_s: float | None, asked_s: float, max_age_s: float | None) -> SkipReason | None:
    if later_s is not None and later_s <= asked_s:
        return "newer_frame"
    if max_age_s is not None and asked_s - due_s > max_age_s:
        return "too_old"
    return None


async def _unless(stop: asyncio.Event, wanted: Coroutine[Any, Any, T]) -> T | None:
    """Wait for ``wanted``, or give None as soon as ``stop`` is set."""
    tasks = (asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
