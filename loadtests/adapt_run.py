"""The real run: over each recorded link all policies, each an agent behind an emulated link of its own.

Owns the agents, their relays and their clocks. The cluster runs already, in a process of its own, and the bundle and
the device's profile are in the agents' cache.
"""

import asyncio
import contextlib
import json
import math
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadtests.adapt_report import POLICIES
from loadtests.adapt_scenario import WARM_S, AdaptScenario, RecordedLink, agent_policy, warm_state, window_script
from loadtests.agent_process import agent_process
from loadtests.frame_row import FrameRow, PolicyRun
from loadtests.precise_loop import run_precisely
from loadtests.relay import Relay, play
from loadtests.relay_connection import Address
from loadtests.table_sweep import option_name
from wire.errors import ClusterUnreachable

FIRST_FRAME_TIMEOUT_S: Final = 90.0
END_TIMEOUT_S: Final = 60.0
"""How long the last frames of a window may take."""
_LEAD_S: Final = 0.2
"""A window begins at the earliest so long after its agent is known to answer."""

Event = dict[str, Any]
Progress = Callable[[str, int, int], None]
"""Told the trace that begins, how many are done, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRun:
    """What the agents of all policies meet; ``folder`` takes what they complain of."""

    scenario: AdaptScenario
    cluster: Address
    window_s: float
    folder: Path


def run_traces(
    run: RealRun, links: Sequence[RecordedLink], fixed: Mapping[str, str], *, on_trace: Progress
) -> dict[str, dict[str, PolicyRun]]:
    """Play each trace to all policies; ``fixed`` names the best fixed option of each, POINT/RATE.

    Raises:
        ClusterUnreachable: an agent ended early, or stayed silent.
    """
    found: dict[str, dict[str, PolicyRun]] = {}
    for done, link in enumerate(links):
        on_trace(link.name, done, len(links))
        found[link.name] = run_precisely(_run_trace(run, link, fixed[link.name]))
    on_trace("", len(links), len(links))
    return found


async def _run_trace(run: RealRun, link: RecordedLink, fixed: str) -> dict[str, PolicyRun]:
    found: dict[str, PolicyRun] = {}
    at_once = run.scenario.at_once
    for begin in range(0, len(POLICIES), at_once):
        found |= await _run_together(run, link, fixed, POLICIES[begin : begin + at_once])
    return found


async def _run_together(run: RealRun, link: RecordedLink, fixed: str, policies: Sequence[str]) -> dict[str, PolicyRun]:
    try:
        async with asyncio.TaskGroup() as tasks:
            players = {
                policy: tasks.create_task(_Player(run, link, policy, agent_policy(policy, fixed)).play())
                for policy in policies
            }
    except ExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, ClusterUnreachable):
                raise error from group
        raise
    return {policy: task.result() for policy, task in players.items()}


class _Player:
    """One policy on one trace.

    The window begins with a certain frame of the clip, not at a certain time: so every policy has the same frames at
    the same places of the trace, however long its agent took to start.
    """

    def __init__(self, run: RealRun, link: RecordedLink, policy: str, spelled: str) -> None:
        self._run, self._link = run, link
        self._fps = run.scenario.fps
        self._expected = math.floor(link.seconds(run.window_s) * self._fps)
        self._first: int | None = None
        self._began_unix_s = 0.0
        self._log = run.folder / f"{policy}.log"
        self._name, self._spelled = policy, spelled
        self._events: list[Event] = []

    async def play(self) -> PolicyRun:
        scenario, state = self._run.scenario, warm_state(self._link, self._run.scenario.delay_s)
        async with Relay(self._run.cluster, state=state) as relay, self._agent(relay.address) as process:
            try:
                await self._follow(process, relay)
            except TimeoutError as error:
                raise ClusterUnreachable(
                    f"the agent of {self._name} fell silent on {self._link.name}", mend=f"look at {self._log}"
                ) from error
        names = {option.id: option_name(option) for option in scenario.bundle.manifest.options}
        assert self._first is not None, "it has answered, or there was an error"
        rows = [
            FrameRow.from_event(
                event,
                names=names,
                number=number,
                due_s=event["due_unix_s"] - self._began_unix_s,
                deadline_s=scenario.deadline_s,
            )
            for event in self._events
            if 0 <= (number := event["frame"] - self._first) < self._expected
        ]
        return PolicyRun(tuple(rows), self._expected)

    async def _follow(self, process: Process, relay: Relay) -> None:
        assert process.stdout is not None
        playing: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(FIRST_FRAME_TIMEOUT_S + WARM_S + self._run.window_s + END_TIMEOUT_S):
                async for line in process.stdout:
                    event = json.loads(line)
                    if event["event"] != "frame":
                        continue
                    self._events.append(event)
                    if playing is None:
                        playing = asyncio.create_task(self._play_window(event, relay))
                    if self._first is not None and event["frame"] >= self._first + self._expected - 1:
                        return
            raise ClusterUnreachable(
                f"the agent of {self._name} ended on {self._link.name} before the trace did",
                mend=f"look at {self._log}",
            )
        finally:
            if playing is not None:
                playing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await playing

    async def _play_window(self, event: Event, relay: Relay) -> None:
        """Begin the window with the frame that is due ``WARM_S`` after the first one."""
        clip_began_unix_s = event["due_unix_s"] - event["frame"] / self._fps
        soonest = math.ceil((time.time() + _LEAD_S - clip_began_unix_s) * self._fps)
        self._first = max(round(WARM_S * self._fps), soonest)
        self._began_unix_s = clip_began_unix_s + self._first / self._fps
        await asyncio.sleep(self._began_unix_s - time.time())
        await play(relay, window_script(self._link, self._run.window_s, delay_s=self._run.scenario.delay_s))

    def _agent(self, address: Address) -> AbstractAsyncContextManager[Process]:
        command = self._run.scenario.command(
            name=self._name, address=address, policy=self._spelled, radio=self._link.radio
        )
        return agent_process(command, log=self._log)
