"""The background tasks of a replica, which Serve makes and stops by calls and not by a context of ours.

Owns that each is held until it ends, and that none outlives the replica.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self


class OwnedTasks:
    """An async context that cancels what was started in it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside all else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
