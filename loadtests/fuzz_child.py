"""The watch over a process that fuzzes: it is started, looked at, killed when it hangs, and started again.

Owns what counts as a crash, a hang or too much memory. What a process had under its hands when it died is in its black
box; its own findings are in its folder.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from loadtests.fuzz_black_box import BlackBox
from loadtests.fuzz_process import BLACK_BOX
from loadtests.fuzz_record import FINDINGS_NAME, Finding, FindingKind, Record, findings_in, keep_finding

HANG_S: Final = 2.0
"""An input that keeps a processor for longer hangs; the slowest that does not takes a tenth of it."""
STUCK_S: Final = 30.0
"""An input that takes so long without a processor waits for what will never come."""
LOOK_S: Final = 0.1
START_S: Final = 120.0
MEMORY_BYTES: Final = 6 * 2**30
"""The process limits its own memory; this is for one that cannot."""
MOST_RESTARTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a process shall do."""

    target: str
    folder: Path
    corpus: Path
    inputs: int
    seconds: float
    seed: int
    most_bytes: int
    guided: bool
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, seed: int, inputs: int, seconds: float) -> list[str]:
        """Give the words that start it."""
        # Safe path: with another wire/ on PYTHONPATH, the one in this folder must not come first.
        return [
            sys.executable, "-P", "-m", "loadtests.fuzz_process", self.target, "--folder", str(self.folder),
            "--corpus", str(self.corpus), "--inputs", str(inputs), "--seconds", str(seconds), "--seed", str(seed),
            "--most-bytes", str(self.most_bytes), "--guided" if self.guided else "--blind",
        ]  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """What came of a target's processes, all of them together."""

    record: Record
    """Of the last one; the inputs and seconds of all."""
    findings: list[Finding]


def fuzzed(orders: Orders, on_inputs: Callable[[int], None], stop: threading.Event) -> Outcome:
    """Have a target fuzzed, and go on with another seed after each crash and hang, a few times.

    ``stop`` ends it from another thread.
    """
    shutil.rmtree(orders.folder, ignore_errors=True)
    orders.folder.mkdir(parents=True)
    until_s = time.monotonic() + orders.seconds
    done, began = 0, time.monotonic()
    record: Record | None = None
    for attempt in range(MOST_RESTARTS):
        left_s = until_s - time.monotonic()
        if done >= orders.inputs or left_s <= 0 or stop.is_set():
            break
        command = orders.command(orders.seed + attempt, orders.inputs - done, left_s)
        before = done
        done += _watched(orders, command, partial(_heard, on_inputs, before), stop)
        record = Record.load(orders.folder)
        if record is not None:
            break
    record = record or Record()
    record.inputs, record.seconds = done, time.monotonic() - began
    return Outcome(record, findings_in(orders.folder / FINDINGS_NAME))


def _heard(on_inputs: Callable[[int], None], before: int, inputs: int) -> None:
    on_inputs(before + inputs)


def _watched(orders: Orders, command: list[str], on_inputs: Callable[[int], None], stop: threading.Event) -> int:
    """Watch one process to its end; give how many inputs it began."""
    box_file = orders.folder / BLACK_BOX
    box_file.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONHASHSEED": "0", **orders.environment}
    with (orders.folder / "log.txt").open("ab") as log, BlackBox(box_file) as box:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            fault = _watch(process, box, on_inputs, stop)
        finally:
            _kill(process)
        sight = box.look()
        if fault is None and process.returncode != 0 and not stop.is_set():
            fault = "crash", f"the process ended with {_ending(process.returncode)}: {_last_words(orders.folder)}"
        if fault is not None:
            kind, says = fault
            keep_finding(orders.folder / FINDINGS_NAME, orders.target, kind, says, sight.data)
        return sight.begun


def _watch(
    process: "subprocess.Popen[bytes]", box: BlackBox, on_inputs: Callable[[int], None], stop: threading.Event
) -> tuple[FindingKind, str] | None:
    """Look until the process ends, or does what it may not; tell what."""
    seen = psutil.Process(process.pid)
    began = time.monotonic()
    at, cpu_s = 0, 0.0
    while process.poll() is None and not stop.wait(LOOK_S):
        sight = box.look()
        on_inputs(sight.begun)
        try:
            used_s, rss_bytes = sum(seen.cpu_times()[:2]), seen.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        if rss_bytes > MEMORY_BYTES:
            return "memory", f"the process took {rss_bytes >> 20} MiB"
        if sight.begun == 0 and time.monotonic() - began > START_S:
            return "hang", f"the process did not begin within {START_S:.0f} s"
        if sight.begun != at or not sight.since_s:
            at, cpu_s = sight.begun, used_s
            continue
        took_s = time.monotonic() - sight.since_s
        if (took_s > HANG_S and used_s - cpu_s > HANG_S) or took_s > STUCK_S:
            return "hang", f"one input took {took_s:.1f} s, {used_s - cpu_s:.1f} s of them of a processor"
    return None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"code {code}"


def _last_words(folder: Path) -> str:
    return (folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-4000:]
