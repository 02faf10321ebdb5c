"""A process that we start, that says in JSON lines what happens, and that we stop by its own id.

Owns the process and the reading of its lines. Used by the demo, the benchmarks and the service tests.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from wire.errors import ClusterUnreachable

STOP_TIMEOUT_S: Final = 30.0
END: Final = None

Event = dict[str, Any]


class Child:
    """A command whose standard output is lines of JSON, each with an ``event``."""

    def __init__(self, command: Sequence[str], *, log: Path | None = None, environment: dict[str, str] | None = None):
        """Describe the process; it starts when this is entered. ``log`` takes its standard error."""
        self._command = list(command)
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        errors = self._log.open("w", encoding="utf-8") if self._log else None
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
            env=self._environment,
            # Its own group, so that a Ctrl-C at our terminal reaches it through us, once, in order.
            start_new_session=True,
            # A shell that started us in the background had us ignore interrupts; the child shall hear ours.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        if errors:
            errors.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The running process."""
        assert self._process is not None, "enter the child first"
        return self._process

    def stop(self) -> int:
        """Interrupt the process, wait, kill it if it does not end; return its exit code."""
        process = self.process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it may have left in its own group
        if self._reader is not None:
            self._reader.join(STOP_TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    def wait_for(self, event: str, *, timeout_s: float) -> Event:
        """Skip lines until one says ``event``.

        Raises:
            ClusterUnreachable: the process ended, or the time ran out.
        """
        until = time.monotonic() + timeout_s
        while True:
            try:
                line = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise ClusterUnreachable(f"{self._name} did not say {event} within {timeout_s:.0f} s") from None
            if line is END:
                self._events.put(END)  # for whoever asks next
                raise ClusterUnreachable(
                    f"{self._name} ended with code {self.process.wait()} before it said {event}: {self._last_words()}"
                )
            if line.get("event") == event:
                return line

    def events(self) -> Iterator[Event]:
        """Yield the lines until the process ends."""
        while (line := self._events.get()) is not END:
            yield line
        self._events.put(END)

    @property
    def _name(self) -> str:
        return " ".join([Path(self._command[0]).name, *self._command[1:3]])

    def _last_words(self) -> str:
        if self._log is None:
            return "see above"
        return " ".join(self._log.read_text(encoding="utf-8", errors="replace").split()[-60:])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library that talks to standard output does not concern us
            if isinstance(event, dict):
                self._events.put(event)
        self._events.put(END)
