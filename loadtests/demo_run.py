"""The demo's run: two agents stream a clip over an emulated link whose script makes it worse and better.

Owns the agents, their relays and the clock of the script. The cluster runs already, in a process of its own.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.relay import Relay, play
from loadtests.steady_profile import keep_steady_profile
from wire.bundle import Bundle
from wire.errors import ClusterUnreachable

DELAY_S: Final = 0.005
DEFAULT_SCRIPT: Final = "0:20,15:0.7,35:down,45:5.85,65:20"
DEFAULT_SECONDS: Final = 80.0
DEFAULT_DEVICE: Final = "raspberry-pi-3b+"
MOST_DROP: Final = 5.0
"""Points of accuracy that a choice may lose."""
FIRST_FRAME_TIMEOUT_S: Final = 90.0
SWEEP_FRAMES: Final = 14
SWEEP_SKIPPED: Final = 4
"""An agent's first frames load a graph and open a socket."""
STOP_TIMEOUT_S: Final = 20.0

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo plays: this machine's processor is slowed down to that of ``device``, or by ``slowdown``."""

    cluster: tuple[str, int]
    bundle: Bundle
    clip: Path
    folder: Path
    script: LinkScript
    seconds: float = DEFAULT_SECONDS
    fps: float = 8.0
    """Few enough that a device alone keeps up with them."""
    agents: int = 2
    device: str = DEFAULT_DEVICE
    slowdown: float | None = None
    """None: as slow as the device."""


@dataclass(slots=True)
class DemoRecord:
    """What happened: the link's steps and every event of every agent, on one clock (``time.time``)."""

    began_unix_s: float
    script: LinkScript
    seconds: float
    events: dict[str, list[Event]] = field(default_factory=dict)
    sweep: list[Event] = field(default_factory=list)
    """Frames of a round after the script in which every option is used, chosen or not."""

    def frames(self) -> list[Event]:
        """Give the answered frames of all agents, with the agent's name in ``agent``."""
        return [
            {**event, "agent": agent}
            for agent, events in self.events.items()
            for event in events
            if event["event"] == "frame"
        ]

    @property
    def emulated(self) -> str:
        """Say what the agents' machine plays."""
        started = next(e for events in self.events.values() for e in events if e["event"] == "agent.started")
        device, slowdown = started["emulated_device"], started["emulated_slowdown"] or 1.0
        return f"{device or 'a device'}, {slowdown:.1f} times slower than one core of this machine"

    def summaries(self) -> dict[str, Event]:
        """Give each agent's own summary; an agent that died has none."""
        return {
            agent: event for agent, events in self.events.items() for event in events if event["event"] == "summary"
        }


class Listener(Protocol):
    """Told what happens while the demo runs."""

    def on_step(self, step: Step) -> None:
        """Hear that the link changes."""

    def on_event(self, agent: str, event: Event) -> None:
        """Hear what an agent says."""


def run_demo(settings: DemoSettings, listener: Listener) -> DemoRecord:
    """Play the demo to its end.

    Raises:
        ClusterUnreachable: an agent ended or stayed silent.
    """
    return asyncio.run(_Run(settings, listener).run())


class _Run:
    def __init__(self, settings: DemoSettings, listener: Listener) -> None:
        self._settings, self._listener = settings, listener
        self._record = DemoRecord(0.0, settings.script, settings.seconds)
        self._started: dict[str, asyncio.Event] = {}

    async def run(self) -> DemoRecord:
        names = self._names
        # The bundle is fetched before the link is emulated: what the demo shows is frames, not a download.
        await self._prepare(names[0])
        async with contextlib.AsyncExitStack() as stack:
            relays = [
                await stack.enter_async_context(Relay(self._settings.cluster, state=self._at_start)) for _ in names
            ]
            processes = [
                await stack.enter_async_context(self._agent(name, relay.address))
                for name, relay in zip(names, relays, strict=True)
            ]
            async with asyncio.TaskGroup() as tasks:
                readers = [tasks.create_task(self._read(n, p)) for n, p in zip(names, processes, strict=True)]
                await self._wait_for_first_frames()
                self._record.began_unix_s = time.time()
                players = [tasks.create_task(self._play(relay, relay is relays[0])) for relay in relays]
                await asyncio.sleep(self._settings.seconds)
                for process in processes:
                    with contextlib.suppress(ProcessLookupError):
                        process.terminate()
                await asyncio.wait(readers, timeout=STOP_TIMEOUT_S)
                for task in (*players, *readers):
                    task.cancel()
            await self._sweep(names[0], relays[0].address)
        return self._record

    async def _sweep(self, name: str, address: tuple[str, int]) -> None:
        """Use every option for a few frames, so that its prediction can be compared with what it takes."""
        for option in self._settings.bundle.manifest.options:
            policy = "device-only" if option.coder == "none" else f"fixed:{option.point}/{option.rate}"
            process = await self._spawn(name, address, "--frames", str(SWEEP_FRAMES), "--policy", policy)
            said, _ = await process.communicate()
            events = [json.loads(line) for line in said.splitlines()]
            frames = [event for event in events if event["event"] == "frame"]
            self._record.sweep += frames[SWEEP_SKIPPED:]

    @property
    def _emulation(self) -> tuple[str, str]:
        if self._settings.slowdown is not None:
            return "--device-slowdown", str(self._settings.slowdown)
        return "--device-profile", self._settings.device

    @property
    def _names(self) -> list[str]:
        return [f"camera-{number + 1}" for number in range(self._settings.agents)]

    @property
    def _at_start(self) -> LinkState:
        return self._settings.script.state_at(0.0)

    @property
    def _cache(self) -> Path:
        return self._settings.folder / "cache"

    async def _prepare(self, name: str) -> None:
        # A profile of another day says nothing of how busy this machine is now.
        shutil.rmtree(self._cache, ignore_errors=True)
        # Every latency of the demo follows from the device's profile, so no moment of this machine may spoil that.
        await asyncio.to_thread(keep_steady_profile, self._settings.bundle, self._cache, on_round=lambda _: None)
        process = await self._spawn(name, self._settings.cluster, "--frames", "1", "--policy", "device-only")
        _, errors = await process.communicate()
        if process.returncode:
            raise ClusterUnreachable(f"the agent cannot start: {errors.decode(errors='replace').strip()}")

    async def _spawn(self, name: str, address: tuple[str, int], *more: str) -> Process:
        settings = self._settings
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "device_agent.main", "--server", f"ws://{address[0]}:{address[1]}",
            "--source", str(settings.clip), "--fps", str(settings.fps), "--json", "--loop",
            "--device-id", name, *self._emulation, "--max-drop", str(MOST_DROP),
            "--cache", str(self._cache), *more,
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def _agent(self, name: str, address: tuple[str, int]) -> AsyncIterator[Process]:
        process = await self._spawn(name, address)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _read(self, name: str, process: Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        events = self._record.events.setdefault(name, [])
        errors = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            event = json.loads(line)
            events.append(event)
            if event["event"] == "frame":
                self._first_frame(name).set()
            self._listener.on_event(name, event)
        said = (await errors).decode(errors="replace")
        (self._settings.folder / f"{name}.log").write_text(said, encoding="utf-8")

    def _first_frame(self, name: str) -> asyncio.Event:
        return self._started.setdefault(name, asyncio.Event())

    async def _wait_for_first_frames(self) -> None:
        try:
            async with asyncio.timeout(FIRST_FRAME_TIMEOUT_S):
                for name in self._names:
                    await self._first_frame(name).wait()
        except TimeoutError as error:
            raise ClusterUnreachable(f"an agent answered no frame within {FIRST_FRAME_TIMEOUT_S:.0f} s") from error

    async def _play(self, relay: Relay, loud: bool) -> None:  # noqa: FBT001 - private, called once
        await play(relay, self._settings.script, on_step=self._listener.on_step if loud else None)
