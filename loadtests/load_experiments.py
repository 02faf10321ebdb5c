"""The experiments on one running system: which loads are played, in which order, and what is made of them.

Owns the order. The system runs already; another one's experiments come later, into the same outcome.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests.light_load import LoadStep
from loadtests.load_background import DELAY_MS, LEVELS_MBPS, LINK_MBPS, BackgroundRuns
from loadtests.load_capacity import TOLERANCE, TRIES, Capacity, Criterion, find_capacity
from loadtests.load_link import shared_link
from loadtests.load_outcome import LoadOutcome
from loadtests.load_overload import Overload, overloaded_agents
from loadtests.load_saving import Saving
from loadtests.load_scene import Entrant, EntrantName, LoadRun, Running, play
from loadtests.load_spike import Spike

CRITERIA: dict[EntrantName, Criterion] = {
    "tutorial": "cluster", "jpeg": "cluster", "device": "anyone", "cut": "cluster", "ours": "anyone",
}  # fmt: skip
"""Whose answers count for an entrant's capacity: where the device may answer in the cluster's place, it is told."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """How long and how much."""

    warm_s: float = 8.0
    seconds: float = 15.0
    """Of each load, behind its warm-up."""
    first: int = 4
    """The agents that a search begins with."""
    most: int = 128
    """The agents beyond which no search goes."""
    tolerance: float = TOLERANCE
    tries: int = TRIES
    spike_steps: tuple[LoadStep, ...] = (LoadStep(15, 5), LoadStep(45, 50))
    levels_mbps: tuple[float, ...] = LEVELS_MBPS
    background_agents: int = 4

    def steps(self, agents: int) -> tuple[LoadStep, ...]:
        """Give the steps of a steady load."""
        return (LoadStep(self.warm_s + self.seconds, agents),)


QUICK = LoadPlan(
    warm_s=1.0, seconds=2.0, first=2, most=2, tolerance=1.0, tries=1,
    spike_steps=(LoadStep(2, 1), LoadStep(4, 4)), levels_mbps=(0.0, 50.0), background_agents=2,
)  # fmt: skip
"""Sees that everything works; its figures say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiments:
    """Plays what was planned on one system, and puts what it comes to into ``outcome``."""

    outcome: LoadOutcome
    plan: LoadPlan
    running: Running
    say: Say

    def find_capacities(self, entrants: Sequence[Entrant]) -> None:
        """Search how many agents each entrant holds."""
        for entrant in entrants:
            criterion = CRITERIA[entrant.name]

            def steady(agents: int, entrant: Entrant = entrant) -> LoadRun:
                return self._steady(entrant, agents, "capacity")

            plan = self.plan
            capacity = find_capacity(
                entrant, steady, criterion=criterion, first=plan.first, most=plan.most, tolerance=plan.tolerance,
                tries=plan.tries,
            )  # fmt: skip
            self.outcome.capacities.append(capacity)

    def overload(self, entrants: Sequence[Entrant]) -> None:
        """Put twice the load on each that it holds; those that hold as many as there can be are left out."""
        for entrant in entrants:
            capacity = self._known(entrant)
            if capacity is None or (capacity.found.at_least and entrant.name == "device"):
                continue
            run = self._steady(entrant, overloaded_agents(capacity, self.plan.most), "overload")
            self.outcome.overloads.append(Overload(capacity, run, self.outcome.scene.deadline_s))

    def spike(self, entrants: Sequence[Entrant]) -> None:
        """Bring many agents at once to the few that are there."""
        steps = self.plan.spike_steps
        for entrant in entrants:
            self.say(f"spike from {steps[0].agents} to {steps[1].agents} agents: {entrant.title}")
            run = play(self.outcome.scene, entrant, self.running, steps, warm_s=steps[0].seconds)
            spike = Spike(entrant, run, steps[0].seconds, self.outcome.scene.deadline_s)
            self.outcome.spikes.append(spike)

    def fill_link(self, entrants: Sequence[Entrant]) -> None:
        """Fill a link that all agents share with background traffic, level by level."""
        plan, scene = self.plan, self.outcome.scene
        for entrant in entrants:
            runs: dict[float, LoadRun] = {}
            for mbps in plan.levels_mbps:
                self.say(f"background {mbps:g} Mbit/s: {entrant.title}")
                with shared_link(
                    self.running.address, mbps=LINK_MBPS, background_mbps=mbps, delay_ms=DELAY_MS,
                    log=scene.out / "relay.log",
                ) as address:  # fmt: skip
                    steps = plan.steps(plan.background_agents)
                    runs[mbps] = play(scene, entrant, self.running, steps, warm_s=plan.warm_s, address=address)
            self.outcome.background.append(BackgroundRuns(entrant, runs))

    def save(self, entrants: Sequence[Entrant], beside: Entrant) -> None:
        """Play each with as many agents as ``beside`` holds, and that one too."""
        capacity = self._known(beside)
        if capacity is None or not capacity.found.held:
            return
        agents = capacity.found.held
        theirs = self._steady(beside, agents, "saving")
        for entrant in entrants:
            self.outcome.savings.append(Saving(entrant, self._steady(entrant, agents, "saving"), theirs))

    def _known(self, entrant: Entrant) -> Capacity | None:
        return self.outcome.capacity_of(entrant.name)

    def _steady(self, entrant: Entrant, agents: int, what: str) -> LoadRun:
        self.say(f"{what}, {agents} agents: {entrant.title}")
        plan = self.plan
        return play(self.outcome.scene, entrant, self.running, plan.steps(agents), warm_s=plan.warm_s)
