"""How busy the machine of a replica is: its processors, and its models inside Triton by Triton's own statistics.

Owns the figures and when they are read: every ``EVERY_S``, never for a frame. Imports no Ray.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

import psutil

from cluster.triton.client import ModelTotals
from wire.errors import TailFailed

EVERY_S: Final = 2.0

ReadTotals = Callable[[], Awaitable[ModelTotals]]
"""Reads what Triton counted for the models of this replica, all together, since they were loaded."""


@dataclass(frozen=True, slots=True)
class NodeLoad:
    """The share of the machine's processors that is busy, and the seconds of a batch of ours inside Triton."""

    utilisation: float
    triton_queue_s: float
    triton_compute_s: float


UNKNOWN: Final = NodeLoad(0.0, 0.0, 0.0)


class NodeWatch:
    """Reads the figures of this machine in the background; an async context."""

    def __init__(
        self, read_totals: ReadTotals | None, on_load: Callable[[NodeLoad], None], *, on_gpu: bool = False
    ) -> None:
        """``read_totals`` is None where there is no Triton; ``on_load`` is told the figures each time."""
        self._read_totals, self._on_load, self._on_gpu = read_totals, on_load, on_gpu
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        psutil.cpu_percent()  # a share is taken since the call before, and the first has none
        before, since = await self._totals() or ModelTotals(), time.monotonic()
        while True:
            await asyncio.sleep(EVERY_S)
            totals, now = await self._totals(), time.monotonic()
            if totals is not None:
                share = psutil.cpu_percent() / 100
                self._on_load(node_load(before, totals, now - since, processors=share, on_gpu=self._on_gpu))
                before, since = totals, now

    async def _totals(self) -> ModelTotals | None:
        if self._read_totals is None:
            return ModelTotals()
        try:
            async with asyncio.timeout(EVERY_S):
                return await self._read_totals()
        except (TailFailed, TimeoutError):
            return None  # Triton is away: what was known is kept until it is back


def node_load(
    before: ModelTotals, now: ModelTotals, passed_s: float, *, processors: float, on_gpu: bool = False
) -> NodeLoad:
    """Give the figures of the time between two readings; Triton counts anew when a model is loaded again.

    On a GPU its share is that of the time in which a model ran on it, or the processors' if that is more: whichever is
    scarce holds frames up.
    """
    if now.batches < before.batches or now.all_compute_s < before.all_compute_s:
        before = ModelTotals(all_compute_s=now.all_compute_s)
    batches = now.batches - before.batches
    gpu = (now.all_compute_s - before.all_compute_s) / passed_s if on_gpu and passed_s > 0 else 0.0
    utilisation = min(max(processors, gpu, 0.0), 1.0)
    if not batches:
        return NodeLoad(utilisation, 0.0, 0.0)
    return NodeLoad(utilisation, (now.queue_s - before.queue_s) / batches, (now.compute_s - before.compute_s) / batches)
