"""What the operating system knows of this process: when it began, and the memory it holds."""

import os
import resource
import sys
import time
from pathlib import Path

_IMPORTED_S = time.monotonic()


def since_start_s() -> float:
    """Give the seconds since this process began; on systems without /proc, since this module was imported."""
    try:
        # Behind the name, which may hold spaces and brackets itself; the start time is field 22 of all.
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_s
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - _IMPORTED_S


def resident_mb() -> float:
    """Give the memory that this process holds, in megabytes (10^6 bytes); its peak on systems without /proc."""
    try:
        # Not from getrusage: a child inherits that of the process that started it.
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
