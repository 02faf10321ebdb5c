"""What a fault did to the frames of a fleet: how many were answered where, how soon it was noticed, and how soon over.

Pure: what the agents said goes in.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

BEFORE_S: Final = 5.0
"""The fleet's service is taken over so long before a fault."""
WINDOW_S: Final = 2.0
STEP_S: Final = 0.25
MISSES: Final = 0.25
"""An agent is served while it misses the cluster with no larger share of the frames that are due in a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFrame:
    """One answered frame; ``life`` counts the processes that an agent had."""

    agent: str
    life: int
    number: int
    due_s: float
    """Of the Unix clock, as ``answered_s``."""
    answered_s: float
    where: Literal["cluster", "device"]
    fallback: str | None
    in_time: bool

    @property
    def missed(self) -> bool:
        """Whether the device had to answer what was meant for the cluster; by its own choice it may answer alone."""
        return self.fallback is not None

    @classmethod
    def of(cls, agent: str, life: int, event: dict[str, Any]) -> "SeenFrame":
        """Read an agent's ``frame`` line."""
        return cls(
            agent=agent,
            life=life,
            number=event["frame"],
            due_s=event["due_unix_s"],
            answered_s=event["unix_s"],
            where=event["where"],
            fallback=event["fallback"],
            in_time=event["in_time"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFigures:
    """One fault; seconds are from when it struck."""

    sent: int
    """Frames that were due from then until the end of what was watched, and that an agent took up."""
    by_cluster: int
    by_device: int
    lost: int
    missed: int
    """Of those that the devices answered: meant for the cluster, which did not answer (in time)."""
    late: int
    """Answered after their deadline."""
    noticed_s: float | None
    """When the first frame was due that a device had to answer instead of the cluster; None: no agent noticed."""
    full_service_s: float | None
    """From when on every agent was served, after the last strike; None: not while it was watched."""

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "sent": self.sent,
            "by_cluster": self.by_cluster,
            "by_device": self.by_device,
            "lost": self.lost,
            "missed": self.missed,
            "late": self.late,
            "noticed_s": _rounded(self.noticed_s),
            "full_service_s": _rounded(self.full_service_s),
        }


def fault_figures(frames: Sequence[SeenFrame], *, struck_s: float, last_s: float, ended_s: float) -> FaultFigures:
    """Reckon the figures of a fault that struck first at ``struck_s`` and last at ``last_s`` (Unix clock).

    Frames that are due less than ``WINDOW_S`` before ``ended_s`` may be unanswered yet, and do not count.
    """
    until_s = ended_s - WINDOW_S
    hit = [frame for frame in frames if struck_s <= frame.due_s < until_s]
    by_device = [frame for frame in hit if frame.where == "device"]
    missed = [frame for frame in hit if frame.missed]
    lost = missing(hit)
    return FaultFigures(
        sent=len(hit) + lost,
        by_cluster=len(hit) - len(by_device),
        by_device=len(by_device),
        lost=lost,
        late=sum(not frame.in_time for frame in hit),
        missed=len(missed),
        noticed_s=min(frame.due_s for frame in missed) - struck_s if missed else None,
        full_service_s=_full_service_s(frames, struck_s, last_s, until_s),
    )


def missing(frames: Iterable[SeenFrame]) -> int:
    """Count the numbers that are missing between the first and the last of each agent's life."""
    numbers: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for frame in frames:
        numbers[frame.agent, frame.life].add(frame.number)
    return sum(max(seen) - min(seen) + 1 - len(seen) for seen in numbers.values())


def all_served(frames: Sequence[SeenFrame], *, struck_s: float, from_s: float, until_s: float) -> bool:
    """Tell whether every agent was served in each window between two times."""
    return not any(_unserved(frames, struck_s, start_s) for start_s in _starts(from_s, until_s))


def _full_service_s(frames: Sequence[SeenFrame], struck_s: float, last_s: float, until_s: float) -> float | None:
    bad = {start_s: _unserved(frames, struck_s, start_s) for start_s in _starts(last_s, until_s)}
    starts = [start_s for start_s, agents in bad.items() if agents]
    if not starts:
        return 0.0
    if starts[-1] == list(bad)[-1]:
        return None
    return max(_served_again_s(frames, agent, starts[-1], until_s) for agent in bad[starts[-1]]) - last_s


def _served_again_s(frames: Sequence[SeenFrame], agent: str, start_s: float, until_s: float) -> float:
    """Say when, after the last that an agent missed in a bad window, a frame was due that it did not."""
    own = [frame for frame in frames if frame.agent == agent and start_s <= frame.due_s < until_s]
    missed = [frame.due_s for frame in own if frame.missed and frame.due_s < start_s + WINDOW_S]
    after_s = max(missed, default=start_s)
    return min((frame.due_s for frame in own if not frame.missed and frame.due_s >= after_s), default=until_s)


def _starts(from_s: float, until_s: float) -> list[float]:
    count = int((until_s - WINDOW_S - from_s) / STEP_S)
    return [from_s + number * STEP_S for number in range(max(count, 0))]


def _unserved(frames: Sequence[SeenFrame], struck_s: float, start_s: float) -> set[str]:
    """Name the agents that missed the cluster too often in the window that begins at a time, or had too few frames."""
    before = _by_agent(frames, struck_s - BEFORE_S, struck_s)
    now = _by_agent(frames, start_s, start_s + WINDOW_S)
    expected = {
        agent: len(own) * WINDOW_S / BEFORE_S
        for agent, own in before.items()
        if sum(frame.missed for frame in own) <= MISSES * len(own)
    }
    # A window holds one frame more or less, as it happens to lie.
    return {
        agent
        for agent, count in expected.items()
        if sum(not frame.missed for frame in now[agent]) < (1 - MISSES) * count - 1
    }


def _by_agent(frames: Sequence[SeenFrame], from_s: float, until_s: float) -> defaultdict[str, list[SeenFrame]]:
    found: defaultdict[str, list[SeenFrame]] = defaultdict(list)
    for frame in frames:
        if from_s <= frame.due_s < until_s:
            found[frame.agent].append(frame)
    return found


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
