"""Capacity: how many agents are held at their rate, found by doubling and then by halving the gap.

Owns what "held" means, and the search. Pure, but for the loads that it is given a way to play.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from loadtests.light_frame import LoadFigures
from loadtests.load_scene import Entrant, LoadRun

HELD: Final = 0.95
"""The share of frames that must be in time: their 95th percentile is then within the deadline."""
TOLERANCE: Final = 0.08
"""The search ends when what is held and what is not differ by no more than this share."""
TRIES: Final = 2
"""A load that is not held is played once more, since this machine does other things too."""

Criterion = Literal["anyone", "cluster"]
"""Whose answers count: whoever gave them, or the cluster's alone."""


def is_held(figures: LoadFigures, criterion: Criterion) -> bool:
    """Tell whether a load was held: enough of all frames that were due were answered in time."""
    in_time = figures.in_time if criterion == "anyone" else figures.in_time_by_cluster
    return figures.due > 0 and in_time >= HELD * figures.due


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to: ``held`` is the most that was, 0 where nothing was; ``at_least`` if it may be more."""

    held: int
    at_least: bool


def search(holds: Callable[[int], bool], *, first: int, most: int, tolerance: float = TOLERANCE) -> Found:
    """Find the greatest number that holds, if every smaller one does too, by doubling from ``first`` and bisection.

    Where ``first`` does not hold, smaller ones are tried, down to 1.
    """
    assert 1 <= first <= most
    good, bad = 0, None
    number = first
    while bad is None:
        if holds(number):
            good = number
            if number == most:
                return Found(good, at_least=True)
            number = min(2 * number, most)
        else:
            bad = number
    while bad - good > 1 and bad - good > tolerance * bad:
        number = (good + bad) // 2
        if holds(number):
            good = number
        else:
            bad = number
    return Found(good, at_least=False)


@dataclass(frozen=True, slots=True)
class Probe:
    """One load of a search, and whether it was held."""

    run: LoadRun
    held: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """One entrant's: the most agents that were held, by one criterion, and every load that was played to find it."""

    entrant: Entrant
    criterion: Criterion
    found: Found
    probes: tuple[Probe, ...]

    @property
    def best(self) -> LoadRun | None:
        """The run with the most agents that was held; None where none was."""
        held = [probe.run for probe in self.probes if probe.held]
        return max(held, key=lambda run: run.agents) if held else None

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "entrant": self.entrant.name,
            "title": self.entrant.title,
            "criterion": self.criterion,
            "agents": self.found.held,
            "at_least": self.found.at_least,
            "probes": [{"held": probe.held, **_brief(probe.run)} for probe in self.probes],
        }


def find_capacity(
    entrant: Entrant,
    play: Callable[[int], LoadRun],
    *,
    criterion: Criterion,
    first: int,
    most: int,
    tolerance: float = TOLERANCE,
    tries: int = TRIES,
) -> Capacity:
    """Search one entrant's capacity; ``play`` plays a load of so many agents."""
    probes: list[Probe] = []

    def holds(agents: int) -> bool:
        for _ in range(tries):
            run = play(agents)
            probes.append(Probe(run, is_held(run.figures, criterion)))
            if probes[-1].held:
                return True
            # Far beyond what it can do, a second try changes nothing.
            if run.figures.in_time < HELD / 2 * run.figures.due:
                return False
        return False

    found = search(holds, first=first, most=most, tolerance=tolerance)
    return Capacity(entrant, criterion, found, tuple(probes))


def _brief(run: LoadRun) -> dict[str, Any]:
    """Give a run without its seconds."""
    plain = run.as_plain()
    del plain["by_second"]
    return plain
