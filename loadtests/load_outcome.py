"""All that a load benchmark came to, and what was wanted of it. Owns the record and its JSON; plays nothing."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from loadtests.adapt_outcome import Loads
from loadtests.load_background import BackgroundRuns, flattest
from loadtests.load_capacity import Capacity
from loadtests.load_overload import Overload
from loadtests.load_saving import Saving
from loadtests.load_scene import EntrantName, LoadScene
from loadtests.load_spike import SWINGS_WANTED, Spike

GAIN_WANTED: Final[dict[EntrantName, float]] = {"jpeg": 5.0, "tutorial": 10.0}
"""How many times as many agents as a rival ours shall hold."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that was wanted, what it came to in words, and whether it was met."""

    what: str
    came_to: str
    met: bool


@dataclass(slots=True, kw_only=True)
class LoadOutcome:
    """Filled while the experiments are played; an experiment that was left out leaves its list empty."""

    scene: LoadScene
    device: str
    """The devices, and how much slower than this machine they are."""
    cut: str
    capacities: list[Capacity] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    spikes: list[Spike] = field(default_factory=list)
    background: list[BackgroundRuns] = field(default_factory=list)
    savings: list[Saving] = field(default_factory=list)
    machine: Loads | None = None

    def capacity_of(self, name: EntrantName) -> Capacity | None:
        """Give one entrant's capacity; None where it was not searched."""
        return next((capacity for capacity in self.capacities if capacity.entrant.name == name), None)

    def gain(self, ours: EntrantName, over: EntrantName) -> float | None:
        """Say how many times as many agents one entrant holds as another; None where either is not known."""
        one, other = self.capacity_of(ours), self.capacity_of(over)
        if one is None or other is None or not other.found.held:
            return None
        return one.found.held / other.found.held

    def wanted(self) -> list[Wanted]:
        """Give what was wanted of the experiments that were played."""
        return [*self._wanted_gains(), *self._wanted_overload(), *self._wanted_spike(), *self._wanted_background()]

    def _wanted_gains(self) -> list[Wanted]:
        found = []
        for rival, times in GAIN_WANTED.items():
            for name in ("cut", "ours"):
                gain, ours = self.gain(name, rival), self.capacity_of(name)
                if gain is not None and ours is not None:
                    more = "at least " if ours.found.at_least else ""
                    what = f"{ours.entrant.title}: {times:g} × the agents of {rival}"
                    found.append(Wanted(what, f"{more}{gain:.1f} ×", gain >= times))
        return found

    def _wanted_overload(self) -> list[Wanted]:
        return [
            Wanted(
                f"{each.capacity.entrant.title}: overload answered",
                f"goodput {each.goodput_share:.0%} of capacity, {each.run.figures.unanswered} unanswered",
                each.is_kept,
            )
            for each in self.overloads
            if each.capacity.entrant.name in ("cut", "ours")
        ]

    def _wanted_spike(self) -> list[Wanted]:
        return [
            Wanted(
                f"{spike.entrant.title}: back within the deadline after a spike, no swing",
                "never" if spike.recovers_s is None else f"{spike.recovers_s:.0f} s, {spike.turns} turns of replicas",
                spike.recovers_s is not None and spike.turns < SWINGS_WANTED,
            )
            for spike in self.spikes
            if spike.entrant.name == "ours"
        ]

    def _wanted_background(self) -> list[Wanted]:
        best = flattest([runs for runs in self.background if runs.entrant.name != "device"])
        if best is None:
            return []
        slope = best.slope_ms_per_mbps or 0.0
        came_to = f"{best.entrant.title} is, with {slope:.2f} ms a Mbit/s"
        return [Wanted("ours the flattest under background traffic", came_to, best.entrant.name in ("cut", "ours"))]

    def as_plain(self) -> dict[str, Any]:
        """Give all as JSON."""
        return {
            "device": self.device,
            "cut": self.cut,
            "fps": self.scene.fps,
            "deadline_ms": self.scene.deadline_s * 1e3,
            "machine": None if self.machine is None else asdict(self.machine),
            "gains": {
                f"{ours}_over_{rival}": self.gain(ours, rival) for ours in ("cut", "ours") for rival in GAIN_WANTED
            },
            "capacity": [each.as_plain() for each in self.capacities],
            "overload": [each.as_plain() for each in self.overloads],
            "spike": [each.as_plain() for each in self.spikes],
            "background": [each.as_plain() for each in self.background],
            "saving": [each.as_plain() for each in self.savings],
            "wanted": [asdict(each) for each in self.wanted()],
        }
