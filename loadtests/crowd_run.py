"""The real crowd: agents in processes of their own on one real cluster, and others whose load goes up and down.

Owns the agents and the clock of the steps. The cluster runs already, and the bundle and the device's profile are in
the agents' cache.
"""

import asyncio
import contextlib
import json
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from device_agent.addresses import ServerAddress
from device_agent.cluster_info import fetch_loads
from device_agent.http_fetch import HttpFetch
from loadtests.adapt_scenario import AdaptScenario
from loadtests.agent_process import agent_process
from loadtests.crowd_background import RealBackground, coded_frame
from loadtests.crowd_rows import Polled, ServiceCosts, samples_of
from loadtests.crowd_simulation import SAMPLE_S, CrowdSamples, LoadStep
from loadtests.link_script import LinkState
from loadtests.precise_loop import run_precisely
from loadtests.relay import Relay
from loadtests.relay_connection import Address
from wire.errors import ClusterUnreachable
from wire.ids import OptionId
from wire.manifest import Option

FIRST_FRAME_TIMEOUT_S: Final = 180.0
"""Twenty agents that start at once share this machine's cores."""
WARM_S: Final = 12.0
"""After the last agent's first frame; by then each has opened its streams and profiled nothing any more."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCrowd:
    """So many agents on one cluster; ``link`` None is straight to it, else they all share one such link."""

    scenario: AdaptScenario
    cluster: Address
    agents: int
    steps: tuple[LoadStep, ...]
    folder: Path
    """Takes what the agents complain of."""
    link: LinkState | None = None

    @property
    def seconds(self) -> float:
        """How long all the steps take."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True, slots=True, eq=False)
class RealCrowdRun:
    """What was seen, by which option the others asked, and how many of their frames were answered and refused."""

    samples: CrowdSamples
    others: Option
    others_answered: int
    others_refused: int


def run_crowd(
    crowd: RealCrowd,
    costs: ServiceCosts,
    *,
    calm: bool,
    on_step: Callable[[str], None],
    others: Option | None = None,
) -> RealCrowdRun:
    """Run the crowd through all its steps; ``others`` None is the option that the agents use most before them.

    Raises:
        ClusterUnreachable: an agent ended early or stayed silent, or the cluster cut the others off.
    """
    try:
        return run_precisely(_Run(crowd, costs, calm=calm, on_step=on_step).run(others))
    except ExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, ClusterUnreachable):
                raise error from group
        raise


@dataclass(slots=True)
class _Said:
    """What one agent said so far."""

    frames: list[Event] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class _Run:
    def __init__(self, crowd: RealCrowd, costs: ServiceCosts, *, calm: bool, on_step: Callable[[str], None]) -> None:
        self._crowd, self._costs, self._calm, self._on_step = crowd, costs, calm, on_step
        self._said = {f"crowd-{number}": _Said() for number in range(crowd.agents)}
        self._polled: list[Polled] = []

    async def run(self, others: Option | None) -> RealCrowdRun:
        crowd = self._crowd
        async with contextlib.AsyncExitStack() as stack:
            address = crowd.cluster
            if crowd.link is not None:
                relay = await stack.enter_async_context(Relay(crowd.cluster, state=crowd.link))
                address = relay.address
            self._on_step("starting the agents")
            processes = [await stack.enter_async_context(self._agent(name, address)) for name in self._said]
            async with asyncio.TaskGroup() as tasks:
                readers = [
                    tasks.create_task(self._read(name, process))
                    for name, process in zip(self._said, processes, strict=True)
                ]
                await self._wait_for_first_frames()
                await asyncio.sleep(WARM_S)
                others = others or self._most_used()
                bitstream = await asyncio.to_thread(coded_frame, crowd.scenario.bundle, others, crowd.scenario.clip)
                poller = tasks.create_task(self._poll())
                background = await stack.enter_async_context(
                    RealBackground(
                        crowd.cluster, crowd.scenario.bundle, others, bitstream, budget_s=crowd.scenario.deadline_s
                    )
                )
                began_unix_s = await self._step_up(background, self._costs.by_option[others.id][1])
                for task in (poller, *readers):
                    task.cancel()
        samples = samples_of(
            [said.frames for said in self._said.values()],
            self._costs,
            began_unix_s=began_unix_s,
            seconds=crowd.seconds,
            others_unix_s=background.sent_unix_s,
            others=others.id,
            polled=self._polled,
        )
        return RealCrowdRun(samples, others, background.answered, background.refused)

    async def _step_up(self, background: RealBackground, exchange_s: float) -> float:
        began_unix_s, began_s = time.time(), time.monotonic()
        until_s = began_s
        for step in self._crowd.steps:
            frames_s = step.frames_s(1, exchange_s)
            self._on_step(f"{frames_s:.0f} frames a second of others")
            background.set_rate(frames_s)
            until_s += step.seconds
            await asyncio.sleep(until_s - time.monotonic())
        background.set_rate(0.0)
        return began_unix_s

    async def _poll(self) -> NoReturn:
        fetch = HttpFetch(ServerAddress(*self._crowd.cluster))
        while True:
            with contextlib.suppress(ClusterUnreachable):
                loads = await asyncio.to_thread(fetch_loads, fetch)
                self._polled.append(Polled(time.time(), loads))
            await asyncio.sleep(SAMPLE_S)

    def _most_used(self) -> Option:
        """Give the option that sends and was planned most; the bundle's first where the devices do all alone."""
        bundle = self._crowd.scenario.bundle
        planned = Counter(OptionId(frame["planned"]) for said in self._said.values() for frame in said.frames)
        used = [bundle.option(number) for number, _ in planned.most_common()]
        return next(option for option in (*used, *bundle.manifest.options) if option.coder != "none")

    async def _wait_for_first_frames(self) -> None:
        try:
            async with asyncio.timeout(FIRST_FRAME_TIMEOUT_S):
                for said in self._said.values():
                    await said.begun.wait()
        except TimeoutError as error:
            silent = [name for name, said in self._said.items() if not said.begun.is_set()]
            raise ClusterUnreachable(
                f"{len(silent)} of {len(self._said)} agents answered no frame within {FIRST_FRAME_TIMEOUT_S:.0f} s",
                mend=f"look at {self._crowd.folder / silent[0]}.log",
            ) from error

    async def _read(self, name: str, process: Process) -> NoReturn:
        assert process.stdout is not None
        said = self._said[name]
        async for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "frame":
                said.frames.append(event)
                said.begun.set()
        raise ClusterUnreachable(
            f"the agent {name} ended before the steps did", mend=f"look at {self._crowd.folder / name}.log"
        )

    def _agent(self, name: str, address: Address) -> AbstractAsyncContextManager[Process]:
        command = self._crowd.scenario.command(
            "--calm" if self._calm else "--no-calm", name=name, address=address, policy="auto"
        )
        return agent_process(command, log=self._crowd.folder / f"{name}.log")
