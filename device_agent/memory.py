"""Two requests to the C library that keep an agent small. Without glibc they do nothing."""

import ctypes
import sys
from typing import Final

M_ARENA_MAX: Final = -8


def keep_one_arena() -> None:
    """Have all threads share one heap; to be asked before there are threads."""
    _ask("mallopt", M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Give what a graph took while it was made, and has freed, back to the system."""
    _ask("malloc_trim", 0)


def _ask(name: str, *arguments: int) -> None:
    if sys.platform != "linux":
        return
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
