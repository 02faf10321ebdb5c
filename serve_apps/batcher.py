"""Batches of what waits: while one batch is computed the next one forms, and there is no timer.

Owns the queue of one cluster graph, of whatever options share it. Imports no Ray.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from serve_apps.backends import TailBackend
from wire.errors import DeadlineExceeded, IsthmusError, Overloaded, TailFailed
from wire.tensor_form import Tensor


@dataclass(frozen=True, slots=True)
class Computed:
    """The probabilities (classes,) of one frame, and what they cost."""

    probabilities: NDArray[np.float32]
    queue_s: float
    compute_s: float
    batch_size: int


@dataclass(slots=True)
class _Waiting:
    tensor: Tensor
    since_s: float
    until_s: float
    answer: asyncio.Future[Computed]


class Batcher:
    """Joins frames to batches of at most ``max_batch``; holds at most ``max_waiting`` frames."""

    def __init__(self, backend: TailBackend, *, max_batch: int, max_waiting: int) -> None:
        self._backend, self._max_batch, self._max_waiting = backend, max_batch, max_waiting
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._backend.load()
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._fail(self._queue, TailFailed("the replica stops"))
        self._queue.clear()
        await self._backend.unload()

    @property
    def waiting(self) -> int:
        """How many frames wait for the next batch."""
        return len(self._queue)

    async def submit(self, tensor: Tensor, *, budget_s: float) -> Computed:
        """Compute one frame's tensor, of the form that the graph takes, within its budget.

        Raises:
            Overloaded: too many frames wait.
            DeadlineExceeded: the budget ran out before the frame's batch began.
            TailFailed: the batch failed, or the replica stops.
        """
        if self._closed:
            raise TailFailed("the replica stops")
        if len(self._queue) >= self._max_waiting:
            raise Overloaded(f"{self._max_waiting} frames wait already")
        now = time.monotonic()
        answer = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(tensor, now, now + budget_s, answer))
        self._arrived.set()
        return await answer

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._next()
            if not self._queue:
                self._arrived.clear()
            if batch:
                await self._compute(batch)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        now = time.monotonic()
        while self._queue and len(batch) < self._max_batch:
            waiting = self._queue.popleft()
            if waiting.answer.done():  # whoever asked has gone
                continue
            if waiting.until_s < now:
                waiting.answer.set_exception(DeadlineExceeded("the frame's budget ran out while it waited"))
                continue
            batch.append(waiting)
        return batch

    async def _compute(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            probabilities = await self._backend.infer(np.stack([waiting.tensor for waiting in batch]))
            if len(probabilities) != len(batch):
                raise TailFailed(f"the tail gave {len(probabilities)} answers to {len(batch)} frames")
        except asyncio.CancelledError:
            self._fail(batch, TailFailed("the replica stops"))
            raise
        except IsthmusError as error:
            self._fail(batch, error)
            return
        except Exception as error:  # noqa: BLE001 - the queue must outlive any fault of one batch
            self._fail(batch, TailFailed(f"the tail failed: {error!r}"))
            return
        took_s = time.monotonic() - began
        for waiting, row in zip(batch, probabilities, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(Computed(row, began - waiting.since_s, took_s, len(batch)))

    def _fail(self, batch: Iterable[_Waiting], error: IsthmusError) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
