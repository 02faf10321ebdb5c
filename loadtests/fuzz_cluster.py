"""A running cluster under the fuzzer: many bad devices at once, and a good one that must still be answered.

The cluster is ``isthmus up`` in a process of its own. Owns the run: the bad devices, the good one, and the memory of
the cluster's processes.
"""

import asyncio
import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import msgpack  # type: ignore[import-untyped]  # it ships no stubs
import psutil

from loadtests.child import Child
from loadtests.fuzz_device import Device
from loadtests.fuzz_messages import TREE
from loadtests.fuzz_mutation import Mutator
from loadtests.fuzz_record import Finding, FindingKind, Record, keep_finding
from loadtests.fuzz_script import script, seeds
from loadtests.fuzz_target import MAX_INPUT_BYTES
from loadtests.relay_connection import Address
from wire.bundle import Bundle

START_S: Final = 300.0
DEVICES: Final = 8
GARBLED: Final = 0.25
"""The share of inputs that are broken HTTP or WebSocket; the others are scripts."""
PROBE_EVERY_S: Final = 0.5
PROBE_S: Final = 10.0
"""A good device that is not answered for so long says that a replica hangs."""
SAMPLE_EVERY_S: Final = 0.25
REPLICA: Final = "ray::ServeReplica:"
OTHERS: Final = ("haproxy", "tritonserver")
KEPT: Final = 64
MOST_FINDINGS: Final = 10


@dataclass(slots=True)
class ClusterRecord:
    """What came of fuzzing a cluster."""

    record: Record = field(default_factory=Record)
    findings: list[Finding] = field(default_factory=list)
    probes_s: list[float] = field(default_factory=list)
    """How long the good device's frames took, connection and greeting included."""
    processes: dict[str, Record] = field(default_factory=dict)
    """The memory of each process of the cluster."""

    @property
    def growth(self) -> float | None:
        """By what share the replica that grew most grew."""
        found = [each.growth for name, each in self.processes.items() if name.startswith(REPLICA)]
        return max((growth for growth in found if growth is not None), default=None)


class ClusterFuzz:
    """Fuzzes one cluster until so many inputs were tried."""

    def __init__(self, bundle: Bundle, address: Address, corpus: Sequence[bytes], *, seed: int, out: Path) -> None:
        self._bundle, self._address, self._out = bundle, address, out
        self._random = Random(seed)
        self._mutator = Mutator(self._random, TREE, MAX_INPUT_BYTES)
        self._good = [script(data, bundle) for data in _whole(seeds(bundle))]
        self._corpus = [*seeds(bundle), *corpus]
        self._device = Device(address, self._random)
        self._last: deque[bytes] = deque(maxlen=KEPT)
        self.found = ClusterRecord()

    async def run(self, inputs: int, seconds: float, cluster: psutil.Process, on_inputs: Callable[[int], None]) -> None:
        """Try so many inputs, or for so long."""
        began = time.monotonic()
        watched = _processes(cluster)
        record = self.found.record
        async with asyncio.TaskGroup() as tasks:
            aside = [tasks.create_task(self._probe()), tasks.create_task(self._sample(watched))]
            async with asyncio.TaskGroup() as devices:
                for _ in range(DEVICES):
                    devices.create_task(self._try(inputs, began + seconds, on_inputs))
            for task in aside:
                task.cancel()
        record.seconds = time.monotonic() - began
        for point in range(len(self._good)):
            await self._probe_once(point)
        for name, process in watched.items():
            if not process.is_running():
                self._keep("crash", f"{name} has ended")

    async def _try(self, inputs: int, until_s: float, on_inputs: Callable[[int], None]) -> None:
        record = self.found.record
        while record.inputs < inputs and time.monotonic() < until_s:
            record.inputs += 1
            on_inputs(record.inputs)
            began = time.monotonic()
            try:
                outcomes = await self._one()
            except AssertionError as error:
                self._keep("exception", str(error))
                outcomes = ["finding"]
            except (OSError, TimeoutError):
                outcomes = ["no_connection"]
            record.slowest_s = max(record.slowest_s, time.monotonic() - began)
            record.outcomes[max(outcomes, key=outcomes.count, default="silent").replace("answered", "accepted")] += 1

    async def _one(self) -> list[str]:
        if self._random.random() < GARBLED:
            return [await self._device.garble()]
        data = self._mutator.mutated(self._random.choice(self._corpus), self._random.choice(self._corpus))
        self._last.append(data)
        return await self._device.play(script(data, self._bundle))

    async def _probe(self) -> None:
        number = 0
        while True:
            await self._probe_once(number % len(self._good))
            number += 1
            await asyncio.sleep(PROBE_EVERY_S)

    async def _probe_once(self, number: int) -> None:
        began = time.monotonic()
        outcomes: list[str] = []
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(PROBE_S):
                try:
                    outcomes = await self._device.play(self._good[number])
                except AssertionError as error:
                    self._keep("exception", f"a good device: {error}")
                    return
        took_s = time.monotonic() - began
        self.found.probes_s.append(took_s)
        if set(outcomes) != {"welcome", "answered"}:
            self._keep("hang", f"a good device at {self._good[number].point} got {outcomes} within {took_s:.1f} s")

    async def _sample(self, watched: dict[str, psutil.Process]) -> None:
        while True:
            for name, process in watched.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self.found.processes.setdefault(name, Record()).rss_bytes.append(process.memory_info().rss)
            await asyncio.sleep(SAMPLE_EVERY_S)

    def _keep(self, kind: FindingKind, says: str) -> None:
        if len(self.found.findings) < MOST_FINDINGS:
            data: bytes = msgpack.packb(list(self._last))
            self.found.findings.append(keep_finding(self._out / "findings", "cluster", kind, says, data))


def fuzz_cluster(
    bundle: Bundle, port: int, corpus: Sequence[bytes], *, inputs: int, seconds: float, seed: int, out: Path,
    on_inputs: Callable[[int], None],
) -> ClusterRecord:  # fmt: skip
    """Start a cluster that serves the bundle, fuzz it, and stop it.

    Raises:
        ClusterUnreachable: it did not start.
    """
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cluster.cli.main", "up", str(bundle.directory), "--port", str(port), "--json"]
    with Child(command, log=out / "cluster.log") as child:
        child.wait_for("cluster.ready", timeout_s=START_S)
        fuzz = ClusterFuzz(bundle, ("127.0.0.1", port), corpus, seed=seed, out=out)
        asyncio.run(fuzz.run(inputs, seconds, psutil.Process(child.process.pid), on_inputs))
    return fuzz.found


def _whole(scripts: Sequence[bytes]) -> list[bytes]:
    """Give of every point the first script, which sends all that there is to send and waits for it."""
    first: dict[int, bytes] = {}
    for data in scripts:
        first.setdefault(TREE.load(data)["point"], data)
    return list(first.values())


def _processes(cluster: psutil.Process) -> dict[str, psutil.Process]:
    """Find the replicas of a cluster, and what else frames pass through."""
    found = {}
    for process in cluster.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = (process.cmdline() or [process.name()])[0]
            if title.startswith(REPLICA) or process.name() in OTHERS:
                found[f"{title.split('/')[-1]} {process.pid}"] = process
    return found
