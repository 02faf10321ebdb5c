"""The processes of one cluster by what they are, found among the descendants of the one that started it, never others.

Owns how each kind is recognised, and when another takes a dead one's place. Imports no Ray.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Literal, Self

import psutil

from wire.errors import ClusterUnreachable

Kind = Literal["replica", "control", "controller", "triton-host", "proxy", "haproxy", "triton", "model", "raylet"]

_KINDS: Final[dict[Kind, Callable[[str], bool]]] = {
    "replica": lambda line: line.startswith("ray::ServeReplica:point-"),
    "control": lambda line: line.startswith("ray::ServeReplica:control:"),
    "controller": lambda line: line.startswith("ray::ServeController"),
    "triton-host": lambda line: line.startswith("ray::TritonHost"),
    "proxy": lambda line: line.startswith("ray::HAProxyManager"),
    "haproxy": lambda line: line.split(" ")[0].endswith("/haproxy"),
    "triton": lambda line: line.split(" ")[0].endswith("/tritonserver"),
    "model": lambda line: line.split(" ")[0].endswith("/triton_python_backend_stub"),
    "raylet": lambda line: line.split(" ")[0].endswith("/raylet"),
}
"""Ray writes what an actor is into its process's title."""
LOOK_S: Final = 0.2


class ClusterProcesses:
    """The descendants of a process that started a cluster."""

    def __init__(self, process_id: int) -> None:
        self._root = psutil.Process(process_id)

    def of(self, kind: Kind, having: str = "") -> list[psutil.Process]:
        """Give the processes of a kind whose command lines have some words in them, the oldest first."""
        found = []
        for process in self.all():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if _KINDS[kind](line) and having in line and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def all(self) -> list[psutil.Process]:
        """Give all of them, of whatever kind."""
        try:
            return self._root.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def strike(self, kind: Kind, number: signal.Signals = signal.SIGKILL, *, having: str = "") -> None:
        """Send a signal to all processes of a kind that have some words in their command lines.

        Raises:
            ClusterUnreachable: there is none.
        """
        processes = self.of(kind, having)
        if not processes:
            raise ClusterUnreachable(f"the cluster has no process of the kind {kind} {having}".rstrip())
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(process.pid, number)


class Lookout:
    """Looks for something new from when it is made, and notes when it came; ``find`` gives what there is."""

    def __init__(self, find: Callable[[], Collection[object]]) -> None:
        self.seen_s: float | None = None
        """On the Unix clock."""
        self._find, self._before = find, set(find())
        self._task = asyncio.create_task(self._look())

    @classmethod
    def for_process(cls, processes: ClusterProcesses, kind: Kind) -> Self:
        """Look for another process of a kind."""
        return cls(lambda: {process.pid for process in processes.of(kind)})

    @classmethod
    def for_words(cls, logs: Path, words: str) -> Self:
        """Look for a line with some words in the log of Serve's controller, or of one that takes its place."""
        return cls(lambda: lines_with(logs, words))

    def stop(self) -> None:
        """Look no longer."""
        self._task.cancel()

    async def _look(self) -> None:
        while self.seen_s is None:
            await asyncio.sleep(LOOK_S)
            if set(await asyncio.to_thread(self._find)) - self._before:
                self.seen_s = time.time()


def lines_with(logs: Path, words: str) -> list[tuple[str, int]]:
    """Say in which lines of which logs of Serve's controllers some words stand."""
    return [
        (path.name, number)
        for path in sorted(logs.glob("serve/controller_*.log"))
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines())
        if words in line
    ]
