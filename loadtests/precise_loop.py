"""An asyncio loop whose timers are right to the microsecond, for whatever emulates delays.

On Linux asyncio rounds each time to sleep up to whole milliseconds, because that is what epoll takes: on average
half a millisecond of delay that nobody asked for.
"""

import asyncio
import select
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_precisely(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine as ``asyncio.run`` does, on a loop with precise timers."""
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(main)


def _loop() -> asyncio.AbstractEventLoop:
    # Elsewhere the loop's own timers are precise already.
    return asyncio.SelectorEventLoop(_PreciseSelector()) if hasattr(select, "epoll") else asyncio.new_event_loop()


class _PreciseSelector(selectors.DefaultSelector):
    """Waits for the epoll instance itself with ``select``, which takes microseconds, and then asks it what is ready."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)
