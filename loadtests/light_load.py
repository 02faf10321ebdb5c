"""What a generated load is: its agents over time, how they send, and what one process saw of it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from device_agent.addresses import ServerAddress
from loadtests.light_frame import LightFrame
from wire.messages import LoadSignal

JOIN_S: Final = 1.0
"""Agents that a step brings come within so long."""

Way = Literal["agent", "camera", "post"]


@dataclass(frozen=True, slots=True)
class LoadStep:
    """So many agents for so many seconds."""

    seconds: float
    agents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LightLoad:
    """What is asked for; ``part`` of ``parts`` is what this process does of it."""

    way: Way
    server: ServerAddress
    bundle: Path
    clip: Path
    cache: Path
    """Holds this machine's profile, and the prepared bitstreams."""
    steps: tuple[LoadStep, ...]
    fps: float = 10.0
    deadline_s: float = 0.3
    policy: str = "auto"
    most_drop: float = 0.05
    devices: tuple[str | None, ...] = ("raspberry-pi-3b+",)
    """Agents take them in turns."""
    live: bool = True
    """Whether agents skip what a newer frame has overtaken."""
    path: str = "/"
    """Where a POST goes."""
    part: int = 0
    parts: int = 1

    @property
    def seconds(self) -> float:
        """How long all the steps take."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True, slots=True)
class Turn:
    """When one agent takes part, in seconds from the start."""

    agent: int
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class PartRun:
    """What one process saw; ``loads`` is what the cluster published, once a second, by the first process."""

    frames: list[LightFrame]
    counts: dict[str, int]
    switches: int
    cpu_s: float
    wall_s: float
    lags_s: list[float]
    """How late the event loop woke up, every ``BEAT_S``: what a generator short of processor adds to latencies."""
    loads: list[tuple[float, tuple[LoadSignal, ...]]]


def turns(steps: Iterable[LoadStep]) -> list[Turn]:
    """Say who takes part and when: whom a step brings stays until a step has fewer, and then the last come leave first.

    Those that come together come evenly over ``JOIN_S``, or half the step where it is shorter.
    """
    ended: list[Turn] = []
    present: list[tuple[int, float]] = []
    now_s = 0.0
    for step in steps:
        while len(present) > step.agents:
            agent, from_s = present.pop()
            ended.append(Turn(agent, from_s, now_s))
        missing = step.agents - len(present)
        join_s = min(JOIN_S, step.seconds / 2)
        first = len(present)
        present += [(first + number, now_s + join_s * number / missing) for number in range(missing)]
        now_s += step.seconds
    ended += [Turn(agent, from_s, now_s) for agent, from_s in present]
    return sorted(ended, key=lambda turn: (turn.from_s, turn.agent))
