"""The feed: reads a source in a thread of its own, a few frames ahead, and hands each over when it is due."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from device_agent.sources import Pixels, SourceFrame
from wire.errors import IsthmusError

FRAMES_AHEAD: Final = 3
_LOOK_S: Final = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DueFrame:
    """A frame whose time has come; ``due_s`` is on the monotonic clock."""

    frame_id: int
    due_s: float
    pixels: Pixels


class FrameFeed:
    """Frames in order, each not before it is due; none is left out, however late the reader comes.

    ``live`` says that the source itself gives due times on the monotonic clock, and ``paced`` that due
    times matter at all. An asynchronous context manager that owns its thread.
    """

    def __init__(self, frames: Iterator[SourceFrame], *, live: bool, paced: bool) -> None:
        self._frames = frames
        self._live = live
        self._paced = paced
        self._room = threading.Semaphore(FRAMES_AHEAD)
        self._closed = threading.Event()
        self._queue: asyncio.Queue[SourceFrame | IsthmusError | None] = asyncio.Queue()
        self._start_s: float | None = None
        self._next_id = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        # A daemon: a camera that hangs must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._read, args=(loop.call_soon_threadsafe,), name="isthmus-source", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed.set()
        # Short, since a camera may hang; the thread sees the flag the next time that it looks.
        await asyncio.to_thread(self._thread.join, 2 * _LOOK_S)

    async def take(self, stop: asyncio.Event) -> DueFrame | None:
        """Wait for the next frame and its due time; None at the end, or once ``stop`` is set."""
        item = await _unless(stop, self._queue.get())
        if isinstance(item, IsthmusError):
            raise item
        if item is None:
            return None
        self._room.release()
        due_s = self._due(item)
        if due_s > time.monotonic():
            await _unless(stop, asyncio.sleep(due_s - time.monotonic()))
            if stop.is_set():
                return None
        frame = DueFrame(self._next_id, due_s, item.pixels)
        self._next_id += 1
        return frame

    def _due(self, item: SourceFrame) -> float:
        if self._live:
            return item.due_s
        if self._start_s is None:
            self._start_s = time.monotonic()
        return self._start_s + item.due_s if self._paced else time.monotonic()

    def _read(self, hand_over: Callable[..., object]) -> None:
        last: IsthmusError | None = None
        try:
            for frame in self._frames:
                while not self._room.acquire(timeout=_LOOK_S):
                    if self._closed.is_set():
                        return
                if self._closed.is_set():
                    return
                hand_over(self._queue.put_nowait, frame)
        except IsthmusError as error:
            last = error
        except Exception as error:  # noqa: BLE001  (the edge of a thread: the agent must hear of any fault)
            last = IsthmusError(f"the frame source failed: {error!r}", mend="report this as a fault of Isthmus")
            last.__cause__ = error
        if not self._closed.is_set():
            hand_over(self._queue.put_nowait, last)


async def _unless(stop: asyncio.Event, wanted: Coroutine[Any, Any, T]) -> T | None:
    """Wait for ``wanted``, or give None as soon as ``stop`` is set."""
    tasks = (asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
