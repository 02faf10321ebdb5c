"""Batches of what waits: while one batch is computed the next one forms, and there is no timer when nothing waits.

Owns the tasks and the timer of one cluster graph, of whatever options share it; who waits, who goes first and who has
to go is the ``WaitingRoom``'s. Imports no Ray.

What it holds is bounded, whatever comes: ``max_waiting + lanes * max_batch`` tensors and their bitstreams. What is
refused is held by nobody: with 2000 streams that send 32 frames each at a backend that hangs, 272 frames of 64,000 are
held, and the process grows by the bytes of these.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serve_apps.backends import TailBackend
from serve_apps.fair_queue import Waiting
from serve_apps.logs import get_logger
from serve_apps.service_times import ServiceTimes
from serve_apps.waiting_room import WaitingRoom
from wire.errors import DeadlineExceeded, IsthmusError, Overloaded, TailFailed
from wire.tensor_form import Tensor

NO_DEVICE = ""
"""Whose frames are that come without a stream: all together they are one device."""

log = get_logger("isthmus.tail")


@dataclass(frozen=True, slots=True)
class Computed:
    """The probabilities (classes,) of one frame, and what they cost."""

    probabilities: NDArray[np.float32]
    queue_s: float
    compute_s: float
    batch_size: int
    batch_id: int = 0
    """Counts the batches of a cluster graph in a replica, from 1; for its log."""


class Place:
    """One frame in the waiting room, from when it was let in: its tensor once it is decoded, and its answer."""

    def __init__(self, batcher: "Batcher") -> None:
        self._batcher = batcher
        self.answer: asyncio.Future[Computed] = asyncio.get_running_loop().create_future()
        self.waiting: Waiting[Place] | None = None
        self.tensor: Tensor | None = None
        self.ready_s = 0.0

    async def compute(self, tensor: Tensor) -> Computed:
        """Compute the frame's tensor, of the form that the graph takes.

        Raises:
            DeadlineExceeded: the budget ran out before the frame's batch began.
            Overloaded: it could not be answered in time after all.
            TailFailed: the batch failed, or the replica stops.
        """
        self.tensor, self.ready_s = tensor, time.monotonic()
        self._batcher._note_ready(self)
        return await self.answer


class Batcher:
    """Joins frames to batches of at most ``max_batch``, ``lanes`` of them at a time; at most ``max_waiting`` wait."""

    def __init__(self, backend: TailBackend, *, max_batch: int, max_waiting: int, lanes: int = 1) -> None:
        self._backend, self._lanes = backend, lanes
        self.max_batch, self.max_waiting = max_batch, max_waiting
        self.times = ServiceTimes()
        self._room: WaitingRoom[Place] = WaitingRoom(
            self.times, max_batch=max_batch, max_waiting=max_waiting, lanes=lanes
        )
        self._arrived = asyncio.Event()
        self._runners: list[asyncio.Task[None]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._closed = False
        self._batches = 0

    async def __aenter__(self) -> Self:
        await self._backend.load()
        self._runners = [asyncio.create_task(self._run()) for _ in range(self._lanes)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)
        if self._alarm is not None:
            self._alarm.cancel()
        _fail(self._room.empty(), TailFailed("the replica stops"))
        await self._backend.unload()

    @property
    def waiting(self) -> int:
        """How many frames wait for the next batch."""
        return len(self._room)

    def expected_wait_s(self, now: float) -> float:
        """Say how much longer a frame that comes now would take than one that is alone."""
        return self._room.expected_wait_s(now)

    def retry_after_s(self) -> float:
        """Say after how long a frame that was refused is worth sending again."""
        return self._room.retry_after_s(time.monotonic())

    @contextmanager
    def place(self, *, budget_s: float, device: str = NO_DEVICE, decode_s: float = 0.0) -> Iterator[Place]:
        """Let a frame in, if it can be answered within its budget, of which decoding will take about ``decode_s``.

        Raises:
            Overloaded: what waits already leaves it no time, or no room.
            DeadlineExceeded: its budget is too short for a frame that is alone.
            TailFailed: the replica stops.
        """
        if self._closed:
            raise TailFailed("the replica stops")
        place = Place(self)
        entered = self._room.enter(
            place, device=device, budget_s=budget_s, now=time.monotonic(), ready=False, decode_s=decode_s
        )
        _fail(entered.turned_away, Overloaded("others have had less, and not everybody can be answered in time"))
        if entered.place is None:
            raise self._refusal(budget_s, hopeless=entered.hopeless)
        place.waiting = entered.place
        self._set_alarm()
        try:
            yield place
        finally:
            self._room.leave(entered.place)
            if place.answer.done() and not place.answer.cancelled():
                place.answer.exception()  # it is seen, whether or not it was waited for

    async def submit(self, tensor: Tensor, *, budget_s: float, device: str = NO_DEVICE) -> Computed:
        """Compute one frame that needs no decoding; raises as ``place`` and ``Place.compute`` do."""
        with self.place(budget_s=budget_s, device=device) as place:
            return await place.compute(tensor)

    async def measure(self, tensor: Tensor) -> None:
        """Learn what batches take, from one frame alone and from a full batch; nobody else may be there yet.

        Of two runs the quicker one counts: other replicas may be starting on this machine, and will not always be.
        """
        best = {1: float("inf"), self.max_batch: float("inf")}
        for frames in (*best, *best):
            began = time.monotonic()
            await self._backend.infer(np.stack([tensor] * frames))
            best[frames] = min(best[frames], time.monotonic() - began)
        self.times.begin(alone_s=best[1], frames=self.max_batch, seconds=best[self.max_batch])

    def _refusal(self, budget_s: float, *, hopeless: bool) -> IsthmusError:
        if hopeless:
            return DeadlineExceeded(f"a frame takes longer than the {max(budget_s, 0) * 1e3:.1f} ms that are left")
        return Overloaded(f"{len(self._room)} frames wait already, too many to answer this one in time")

    def _note_ready(self, place: Place) -> None:
        assert place.waiting is not None
        place.waiting.ready = True
        self._arrived.set()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            now = time.monotonic()
            batch, late = self._room.next_batch(now)
            _turn_away(late, now)
            if not self._room.has_ready:
                self._arrived.clear()
            if batch:
                await self._compute([waiting.item for waiting in batch], now)

    async def _compute(self, batch: list[Place], now: float) -> None:
        running = self._room.begin(len(batch), now)
        self._batches += 1
        batch_id, well = self._batches, False
        try:
            tensors = [place.tensor for place in batch if place.tensor is not None]
            probabilities = await self._backend.infer(np.stack(tensors))
            if len(probabilities) != len(batch):
                raise TailFailed(f"the tail gave {len(probabilities)} answers to {len(batch)} frames")
            well = True
        except asyncio.CancelledError:
            _fail_places(batch, TailFailed("the replica stops"))
            raise
        except IsthmusError as error:
            _fail_places(batch, error)
            log.warning("batch.failed", batch=batch_id, frames=len(batch), error=error.message)
        except Exception as error:
            _fail_places(batch, TailFailed(f"the tail failed: {error!r}"))
            log.exception("batch.failed", batch=batch_id, frames=len(batch))
        finally:
            ended = time.monotonic()
            self._room.end(running, ended, well=well)
        if well:
            for place, row in zip(batch, probabilities, strict=True):
                if not place.answer.done():
                    place.answer.set_result(Computed(row, now - place.ready_s, ended - now, len(batch), batch_id))

    def _set_alarm(self) -> None:
        """Wake up when the next frame expires, so that its device hears of it at once."""
        deadline = self._room.next_deadline
        if deadline is None or (self._alarm is not None and self._alarm_at <= deadline):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = deadline
        # From the loop's own clock, which may be of a coarser grain; if it is early, it is set anew.
        self._alarm = asyncio.get_running_loop().call_later(max(deadline - time.monotonic(), 0.0), self._expire)

    def _expire(self) -> None:
        self._alarm = None
        now = time.monotonic()
        _turn_away(self._room.expire(now), now)
        self._set_alarm()


def _turn_away(late: Iterable[Waiting[Place]], now: float) -> None:
    for waiting in late:
        if waiting.until_s <= now:
            _fail([waiting], DeadlineExceeded("the frame's budget ran out while it waited"))
        else:
            _fail([waiting], Overloaded("what was ahead of the frame took longer than expected"))


def _fail(waiting: Iterable[Waiting[Place]], error: IsthmusError) -> None:
    _fail_places((each.item for each in waiting), error)


def _fail_places(places: Iterable[Place], error: IsthmusError) -> None:
    for place in places:
        if not place.answer.done():
            place.answer.set_exception(error)
