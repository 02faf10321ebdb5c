"""One agent as a process of its own, whose JSON lines are read as they come, and which ends with whoever started it."""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path


@contextlib.asynccontextmanager
async def agent_process(command: Sequence[str], *, log: Path) -> AsyncIterator[Process]:
    """Run an agent whose standard output is a pipe; ``log`` takes its standard error."""
    with log.open("w", encoding="utf-8") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=errors, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
