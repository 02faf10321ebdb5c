"""The rules of a choice: what is to be made least, and what it may cost at most."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from device_agent.policy import Policy
from wire.errors import SettingError

_GOAL_FORM: Final = "use latency, energy, bytes, or a weighted sum such as latency=1,energy=0.5,bytes=0.01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A weighted sum to be made least: per second of latency, per joule of the device, and per kilobyte moved."""

    latency: float = 0.0
    energy: float = 0.0
    bytes: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.latency, self.energy, self.bytes)
        if not (all(0 <= weight < inf for weight in weights) and any(weights)):
            raise SettingError(f"an objective cannot weigh {weights}", mend=_GOAL_FORM)


LATENCY: Final = Goal(latency=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What one frame may cost at most; each is off at its default."""

    most_drop: float = 1.0
    """The share of right answers lost beside the unsplit backbone (JALAD's Δα)."""
    deadline_s: float = inf
    """From when the frame was due (JointDNN's QoS, equation 20)."""
    most_energy_j: float = inf
    """Of the device (JointDNN's battery budget, equation 18)."""
    most_cluster_s: float = inf
    """Of the cluster's time (JointDNN's cap on the cloud, equation 19)."""
    joules_per_hour: float = inf
    """A battery budget over time: what may be left of it now bounds a frame too."""
    bytes_per_hour: float = inf
    """Both ways, as a metered link counts them."""

    def __post_init__(self) -> None:
        if not 0 <= self.most_drop <= 1:
            raise SettingError(f"a drop of at most {self.most_drop * 100:g} points", mend="give 0 to 100")
        for name in ("deadline_s", "most_energy_j", "most_cluster_s", "joules_per_hour", "bytes_per_hour"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} is {getattr(self, name):g}", mend="give a number above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All that the user says about the choice.

    ``calm`` says whether a move that only the cluster's load asks for is made by chance, some agents sooner and some
    later, so that a crowd does not swing; without it every move is made at once, and there is no price for it.
    ``races`` says whether our own planner may have the device begin its own answer as soon as a frame is sent.
    ``live_every_s`` is the time between two frames of a source that skips what a newer frame has overtaken; 0 where
    every frame is answered.
    """

    policy: Policy = field(default_factory=lambda: Policy("auto"))
    goal: Goal = LATENCY
    constraints: Constraints = field(default_factory=Constraints)
    calm: bool = True
    races: bool = True
    live_every_s: float = 0.0

    @property
    def waits_s(self) -> float:
        """How long after a frame was due the device will have answered it alone.

        That is the deadline, or sooner where the frame behind it would be overtaken meanwhile by the one after that.
        """
        deadline_s = self.constraints.deadline_s
        return min(deadline_s, 2 * self.live_every_s) if self.live_every_s else deadline_s


def parse_goal(text: str) -> Goal:
    """Read latency, energy, bytes, or weights such as latency=1,energy=0.5; raises SettingError."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (word.strip() for word in part.partition("="))
        if name not in ("latency", "energy", "bytes") or name in weights:
            raise SettingError(f"there is no objective {text!r}", mend=_GOAL_FORM)
        try:
            weights[name] = float(number) if equals else 1.0
        except ValueError as error:
            raise SettingError(f"{number!r} is no weight", mend=_GOAL_FORM) from error
    return Goal(**weights)
