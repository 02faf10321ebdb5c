"""Which machine a profile was measured on, in a few words. Owns the words; measures nothing."""

import platform
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")
_KEYS: Final = ("model name", "Model", "Hardware")
"""What Linux calls the processor on x86, and the board or the chip on Arm."""


def machine_name(threads: int, cpuinfo: Path = CPUINFO) -> str:
    """Name this machine's processor and how much of it is used, as in ``AMD EPYC, 1 thread``."""
    return f"{_processor(cpuinfo)}, {threads} thread{'' if threads == 1 else 's'}"


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        lines = []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    named = (facts[key] for key in _KEYS if facts.get(key))
    return next(named, platform.processor() or platform.machine())
