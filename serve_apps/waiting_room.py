"""Who is let in to wait for a cluster graph, who forms the next batch, and who has to go.

Owns these decisions; every frame that is let in leaves by exactly one of ``next_batch``, ``leave`` and the frames that
``enter``, ``next_batch`` and ``expire`` turn away. Pure: time is given, not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Final, Generic, TypeVar

import numpy as np

from serve_apps.admission import CAUTION, batch_size, best_skip, drained_s, starts_of, wanted_size
from serve_apps.fair_queue import FairQueue, Waiting
from serve_apps.service_times import ServiceTimes
from wire.tensor_form import TensorForm

MAX_WAITING: Final = 256
"""Frames of one graph that may wait, where they are small."""
MAX_WAITING_BYTES: Final = 32 * 2**20
"""Bytes of decoded tensors of one graph that may wait: 55 frames of 224x224 pixels as float32."""
DEVICE_PART: Final = 4
"""No device has more than one in so many of the places."""
LEAST_RETRY_S: Final = 0.05
MOST_RETRY_S: Final = 5.0
OVERLOAD_S: Final = 0.5
"""For so long after somebody had to go the backend's time is what everything else lacks."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Entered(Generic[Item]):
    """What became of a frame that came: its place, or None; and who had to go for it."""

    place: Waiting[Item] | None
    turned_away: tuple[Waiting[Item], ...] = ()
    hopeless: bool = False
    """It could not be answered in time even if nothing else were there."""


@dataclass(slots=True, eq=False)
class Running:
    """A batch that is being computed."""

    frames: int
    began: float
    expected_s: float

    def done(self, now: float) -> float:
        """Say when it is expected to be done; one that is overdue is given as long again as it is over its time."""
        end = self.began + self.expected_s
        return end if end >= now else 2 * now - end


class WaitingRoom(Generic[Item]):
    """Holds at most ``max_waiting`` frames for a backend that computes ``lanes`` batches at a time."""

    def __init__(self, times: ServiceTimes, *, max_batch: int, max_waiting: int, lanes: int = 1) -> None:
        self.times, self._max_batch, self._lanes = times, max_batch, lanes
        self._queue: FairQueue[Item] = FairQueue(most=max_waiting, most_each=max(1, max_waiting // DEVICE_PART))
        self._running: list[Running] = []
        self._refused_at = float("-inf")

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Waiting[Item]]:
        return iter(self._queue)

    @property
    def next_deadline(self) -> float | None:
        """When the next frame expires."""
        return next((waiting.until_s for waiting in self._queue), None)

    @property
    def has_ready(self) -> bool:
        """Whether a batch can be formed."""
        return any(waiting.ready for waiting in self._queue)

    def enter(
        self, item: Item, *, device: str, budget_s: float, now: float, ready: bool = True, decode_s: float = 0.0
    ) -> Entered[Item]:
        """Let a frame in if it can be answered within its budget, of which ``decode_s`` go before it is ready.

        When not everybody can, somebody of the device that has most goes: of equals, whoever comes last. A frame that
        nobody is ahead of is always let in, since what is expected of it may be wrong, and only a frame can mend that.
        """
        careful_s = budget_s / (1 + CAUTION * self.times.spread)
        size = wanted_size(careful_s, self.times, self._max_batch)
        came = Waiting(device, now, now + budget_s, item, ready, size)
        hopeless = self.times.most_frames(budget_s - decode_s) < 1
        if not len(self._queue) and budget_s > 0:
            self._queue.add(came)
            return Entered(came)
        if hopeless or self._queue.held(device) >= self._queue.most_each:
            return Entered(None, hopeless=hopeless)
        gone = self._losers(came, now)
        for waiting in gone:
            self._queue.remove(waiting)
        if gone:
            self._refused_at = now
        if came in gone:
            return Entered(None, tuple(waiting for waiting in gone if waiting is not came))
        self._queue.add(came)
        return Entered(came, tuple(gone))

    def next_batch(self, now: float) -> tuple[list[Waiting[Item]], list[Waiting[Item]]]:
        """Take the frames to compute next, and those that it is too late for.

        A batch is no larger than its nearest deadline can bear. The last one left goes in whatever is expected.
        """
        gone = self._queue.take_expired(now)
        ready = [waiting for waiting in self._queue if waiting.ready]
        if now - self._refused_at < OVERLOAD_S:
            skipped = best_skip([waiting.until_s - now for waiting in ready], self.times, self._max_batch)
            for waiting in ready[:skipped]:
                self._queue.remove(waiting)
                gone.append(waiting)
            ready = ready[skipped:]
        for at, first in enumerate(ready):
            size = batch_size(first.until_s - now, self.times, self._max_batch)
            if size or at == len(ready) - 1:
                batch = self._queue.take(max(size, 1))
                for waiting in batch:
                    self._queue.shares.add(waiting.device, now)
                return batch, gone
            self._queue.remove(first)
            gone.append(first)
        return [], gone

    def begin(self, frames: int, now: float) -> Running:
        """Note that a batch is given to the backend."""
        running = Running(frames, now, self.times.expected_s(frames))
        self._running.append(running)
        return running

    def end(self, running: Running, now: float, *, well: bool) -> None:
        """Note that a batch is done; one that failed says nothing of what batches take."""
        self._running.remove(running)
        if well:
            self.times.note(running.frames, now - running.began)

    def expire(self, now: float) -> list[Waiting[Item]]:
        """Take out the frames whose deadline is over."""
        return self._queue.take_expired(now)

    def leave(self, waiting: Waiting[Item]) -> bool:
        """Take out a frame that nobody wants answered any more; says whether it still waited."""
        return self._queue.remove(waiting)

    def empty(self) -> list[Waiting[Item]]:
        """Take everything out."""
        return self._queue.take_expired(float("inf"))

    def drained(self, now: float) -> float:
        """Say when a frame would be answered that comes now and can wait."""
        return drained_s(self._queue.frames, self._free(now), self.times, self._max_batch)

    def expected_wait_s(self, now: float) -> float:
        """Say how much longer a frame that comes now would take than one that is alone."""
        return max(0.0, self.drained(now) - now - self.times.alone_s)

    def retry_after_s(self, now: float) -> float:
        """Say after how long a frame that was turned away is worth sending again: when what waits is computed."""
        return min(max(self.drained(now) - now, LEAST_RETRY_S), MOST_RETRY_S)

    def _free(self, now: float) -> list[float]:
        ends = sorted(running.done(now) for running in self._running)[: self._lanes]
        return ends + [now] * (self._lanes - len(ends))

    def _losers(self, came: Waiting[Item], now: float) -> list[Waiting[Item]]:
        """Pick who has to go so that there is room for who comes and the rest is in time, with something to spare.

        That is who comes, unless another device has clearly more: what has waited for a while is not given up for an
        equal, and it was decoded already.
        """
        gone: list[Waiting[Item]] = []
        free = self._free(now)
        start_by = now + (came.until_s - now) / (1 + CAUTION * self.times.spread) - self.times.expected_s(came.size)
        place = self._queue.place_of(came)
        kept = list(self._queue)
        kept.insert(place, came)
        greedy = None
        while len(kept) > 1:
            starts, late = starts_of(kept, free, self.times, self._max_batch)
            in_time = late is None and next(start for at, start in reversed(starts) if at <= place) <= start_by
            if in_time and len(kept) <= self._queue.most:
                break
            greedy = self._queue.greedier_than(came.device, now) if greedy is None else greedy
            last = len(kept) if in_time else max(place, late or 0) + 1
            loser = _loser(kept[:last], greedy, came)
            gone.append(loser)
            if loser is came:
                break
            greedy[loser.device] -= 1
            place -= kept.index(loser) < place
            kept.remove(loser)
        return gone


def places_for(form: TensorForm, max_batch: int) -> int:
    """Give how many frames of a form may wait: no more bytes than ``MAX_WAITING_BYTES``, but a batch at least."""
    each = prod(form.shape) * np.dtype(form.dtype).itemsize
    return max(min(MAX_WAITING, MAX_WAITING_BYTES // each), max_batch)


def _loser(among: list[Waiting[Item]], greedy: dict[str, float], came: Waiting[Item]) -> Waiting[Item]:
    """Pick who goes: of the device with most, and there who has most time to be answered elsewhere; else who comes."""
    candidates = [waiting for waiting in among if waiting.device in greedy]
    return max(candidates, key=lambda waiting: (greedy[waiting.device], waiting.until_s), default=came)
