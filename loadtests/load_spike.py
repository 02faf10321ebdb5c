"""A spike: few agents, then many at once. How long until the latency is back within its target. Pure."""

import itertools
from dataclasses import dataclass
from typing import Any, Final

from loadtests.light_frame import LoadFigures
from loadtests.load_scene import Entrant, LoadRun

CALM_S: Final = 3
"""It is back when so many seconds one after another are within the target."""
SWINGS_WANTED: Final = 2
"""How often a point's replicas may change their direction: up for the spike, and down once after it."""


@dataclass(frozen=True, slots=True)
class Spike:
    """One entrant; the spike begins ``begins_s`` after the start, and ends with the run."""

    entrant: Entrant
    run: LoadRun
    begins_s: float
    deadline_s: float

    @property
    def recovers_s(self) -> float | None:
        """Seconds from the spike until the 95th percentile is within the deadline for good; None if it never is."""
        return recovery_s(self.run.seconds, begins_s=self.begins_s, deadline_s=self.deadline_s)

    @property
    def worst_p95_s(self) -> float | None:
        """The worst second's 95th percentile from the spike on."""
        after = [second.p95_s for second in self.run.seconds[int(self.begins_s) :] if second.p95_s is not None]
        return max(after, default=None)

    @property
    def turns(self) -> int:
        """How often the replicas of the point that changes most turned from growing to shrinking or back."""
        points = {point for _, of in self.run.replicas for point in of}
        return max((direction_changes([of.get(p, 0) for _, of in self.run.replicas]) for p in points), default=0)

    @property
    def missed(self) -> int:
        """Frames from the spike on that were late or nobody's."""
        return sum(second.due - second.in_time for second in self.run.seconds[int(self.begins_s) :])

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "entrant": self.entrant.name,
            "title": self.entrant.title,
            "begins_s": self.begins_s,
            "recovers_s": self.recovers_s,
            "worst_p95_s": self.worst_p95_s,
            "missed": self.missed,
            "direction_changes": self.turns,
            "run": self.run.as_plain(),
        }


def recovery_s(seconds: tuple[LoadFigures, ...], *, begins_s: float, deadline_s: float) -> float | None:
    """Say how long after ``begins_s`` the 95th percentile of each second is within the deadline, and stays so.

    A frame that nobody answered counts as late. A single bad second among good ones later does not count; as many in a
    row as ``CALM_S`` do.
    """
    first = int(begins_s)
    good = [_is_good(second, deadline_s) for second in seconds[first:]]
    for at in range(len(good) - CALM_S + 1):
        bad_runs = [not any(good[later : later + CALM_S]) for later in range(at, len(good) - CALM_S + 1)]
        if all(good[at : at + CALM_S]) and not any(bad_runs):
            return float(at)
    return None


def direction_changes(counts: list[int]) -> int:
    """Count how often a series turns from growing to shrinking or back; standing still is no direction."""
    steps = [after - before for before, after in itertools.pairwise(counts) if after != before]
    return sum((before > 0) != (after > 0) for before, after in itertools.pairwise(steps))


def _is_good(second: LoadFigures, deadline_s: float) -> bool:
    late = second.due - second.in_time
    return second.p95_s is not None and second.p95_s <= deadline_s and late <= 0.05 * second.due
