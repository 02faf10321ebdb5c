"""What a process and all that it started take of the processors. Owns the counting; needs psutil."""

import contextlib

import psutil


class ProcessTree:
    """A process by its id, with its children and theirs."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Give the processor seconds that the living ones have taken so far, user and system."""
        seconds = 0.0
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds
