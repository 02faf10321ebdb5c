import asyncio

import numpy as np
import pytest

from serve_apps.batcher import Batcher
from wire.errors import TailFailed

FRAME = np.zeros(3, np.uint8)


class Stuck:
    """A backend that never answers."""

    def __init__(self):
        self.asked = asyncio.Event()

    async def load(self):
        pass

    async def infer(self, batch):
        self.asked.set()
        await asyncio.Event().wait()

    async def unload(self):
        pass


class Short(Stuck):
    """A backend that answers with one row too few, and with nothing at all."""

    async def infer(self, batch):
        return np.zeros((len(batch) - 1, 2), np.float32) if len(batch) > 1 else None


async def test_frames_that_are_being_computed_fail_when_the_replica_stops():
    backend = Stuck()
    batcher = Batcher(backend, max_batch=4, max_waiting=8)
    async with batcher:
        waiting = asyncio.create_task(batcher.submit(FRAME, budget_s=60))
        await backend.asked.wait()
    with pytest.raises(TailFailed, match="stops"):
        await waiting
    with pytest.raises(TailFailed, match="stops"):
        await batcher.submit(FRAME, budget_s=60)


async def test_a_backend_that_gives_too_few_answers_fails_its_batch_and_no_other():
    async with Batcher(Short(), max_batch=4, max_waiting=8) as batcher:
        for _ in range(2):
            answers = [batcher.submit(FRAME, budget_s=60) for _ in range(2)]
            assert all(isinstance(each, TailFailed) for each in await asyncio.gather(*answers, return_exceptions=True))
        with pytest.raises(TailFailed):
            await batcher.submit(FRAME, budget_s=60)
