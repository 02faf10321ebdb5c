"""The agents that a cluster's faults are seen by: processes behind one emulated link, one of which may be killed.

Owns the agents, the link and what they said. The cluster runs already, and bundle and profile are in the agents' cache.
"""

import asyncio
import contextlib
import json
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from typing import Any, Final, Self

from loadtests.adapt_scenario import AdaptScenario
from loadtests.agent_process import agent_process
from loadtests.fault_figures import SeenFrame
from loadtests.link_script import LinkState
from loadtests.relay import Relay
from loadtests.relay_connection import Address
from wire.errors import ClusterUnreachable

FIRST_FRAME_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 10.0
LINK: Final = LinkState(50.0, 0.003)
DOWN: Final = LinkState(None, 0.003)


class Fleet:
    """Agents by their names, each with a policy; an async context in which they run."""

    def __init__(self, scenario: AdaptScenario, cluster: Address, policies: Mapping[str, str]) -> None:
        self.frames: list[SeenFrame] = []
        self.link_downs_s: list[float] = []
        """When an agent said that the link is down, on the Unix clock."""
        self.unanswered = 0
        """Frames that agents took up and never answered, by what they say themselves at their end."""
        self._scenario, self._cluster, self._policies = scenario, cluster, policies
        self._processes: dict[str, Process] = {}
        self._lives = dict.fromkeys(policies, 0)
        self._doomed: set[str] = set()
        self._revived = {name: asyncio.Event() for name in policies}
        self._stack = contextlib.AsyncExitStack()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the agents."""
        return tuple(self._policies)

    async def __aenter__(self) -> Self:
        """Start all, and wait until each has answered a frame.

        Raises:
            ClusterUnreachable: one did not.
        """
        try:
            self._relay = await self._stack.enter_async_context(Relay(self._cluster, state=LINK))
            self._tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._agents = [self._tasks.create_task(self._live(name)) for name in self._policies]
            await self._wait_for_all()
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        for task in self._agents:
            task.cancel()
        await self._stack.__aexit__(kind, error, trace)

    def set_link(self, state: LinkState) -> None:
        """Change the link that all share."""
        self._relay.set_state(state)

    def kill(self, name: str) -> None:
        """Kill an agent's process; ``revive`` starts another."""
        self._doomed.add(name)
        self._processes[name].kill()

    def revive(self, name: str) -> None:
        """Start an agent that was killed again."""
        self._revived[name].set()

    async def finish(self) -> None:
        """Have all agents end by themselves, and read how many frames they leave unanswered."""
        self._doomed.update(self._policies)
        for process in self._processes.values():
            process.send_signal(signal.SIGINT)
        await asyncio.wait(self._agents, timeout=END_TIMEOUT_S)

    async def _wait_for_all(self) -> None:
        until_s = time.monotonic() + FIRST_FRAME_TIMEOUT_S
        while silent := set(self._policies) - {frame.agent for frame in self.frames}:
            if time.monotonic() > until_s:
                raise ClusterUnreachable(
                    f"{', '.join(sorted(silent))} answered no frame within {FIRST_FRAME_TIMEOUT_S:.0f} s",
                    mend=f"look at the logs in {self._scenario.cache.parent}",
                )
            await asyncio.sleep(0.1)

    async def _live(self, name: str) -> None:
        while True:
            command = self._scenario.command(name=name, address=self._relay.address, policy=self._policies[name])
            log = self._scenario.cache.parent / f"{name}-{self._lives[name]}.log"
            async with agent_process(command, log=log) as process:
                self._processes[name] = process
                summarised = await self._read(name, process)
            if name not in self._doomed:
                raise ClusterUnreachable(f"the agent {name} ended by itself", mend=f"look at {log}")
            if summarised:
                return
            await self._revived[name].wait()
            self._revived[name].clear()
            self._doomed.discard(name)
            self._lives[name] += 1

    async def _read(self, name: str, process: Process) -> bool:
        """Note what an agent says until it ends; tells whether it ended in order."""
        assert process.stdout is not None
        async for line in process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "frame":
                    self.frames.append(SeenFrame.of(name, self._lives[name], event))
                case "link.down":
                    self.link_downs_s.append(time.time())
                case "summary":
                    self.unanswered += event["unanswered"]
                    return True
        return False
