"""Overload: twice the load that is held, and what is still answered in time. Owns the figures of it; pure."""

from dataclasses import dataclass
from typing import Any, Final

from loadtests.load_capacity import Capacity
from loadtests.load_scene import LoadRun

TIMES: Final = 2
GOODPUT_WANTED: Final = 0.95
"""Of the frames a second at capacity."""


@dataclass(frozen=True, slots=True)
class Overload:
    """One entrant at ``TIMES`` its capacity."""

    capacity: Capacity
    run: LoadRun
    deadline_s: float

    @property
    def goodput_share(self) -> float:
        """Frames answered in time, as a share of those at capacity; 0 where nothing was held at all."""
        best = self.capacity.best
        return self.run.figures.goodput / best.figures.goodput if best is not None and best.figures.goodput else 0.0

    @property
    def accepted_in_time(self) -> bool:
        """Whether the 95th percentile of the frames that the cluster answered is within the deadline."""
        p95_s = self.run.figures.cluster_p95_s
        return p95_s is not None and p95_s <= self.deadline_s

    @property
    def is_kept(self) -> bool:
        """Whether it comes to what was wanted: goodput, accepted frames in time, and none without an answer."""
        return (
            self.goodput_share >= GOODPUT_WANTED and self.accepted_in_time and self.run.figures.unanswered == 0
        )  # fmt: skip

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "entrant": self.capacity.entrant.name,
            "title": self.capacity.entrant.title,
            "agents": self.run.agents,
            "goodput_share": self.goodput_share,
            "accepted_in_time": self.accepted_in_time,
            "kept": self.is_kept,
            "run": self.run.as_plain(),
        }


def overloaded_agents(capacity: Capacity, most: int) -> int:
    """Say how many agents overload what holds so many."""
    return min(max(TIMES * capacity.found.held, TIMES), TIMES * most)
