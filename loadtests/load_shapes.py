"""How many agents there are over time: ramp, spike, diurnal, overload. Pure: seconds in, a number out.

Locust's classes stand in ``locust_shapes``, since whoever imports Locust has his sockets and threads replaced.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

ShapeName = Literal["ramp", "spike", "diurnal", "overload"]
SPIKE_FROM: Final = 0.25
"""Of the run's time: when the spike begins, and how long it is."""
FEW: Final = 0.1
"""Of the most agents: those that are there before a spike, and by night."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: at most so many agents, over so many seconds."""

    name: ShapeName
    agents: int
    seconds: float

    def agents_at(self, at_s: float) -> int | None:
        """Say how many agents there are at a time from the start; None once the run is over."""
        if at_s >= self.seconds:
            return None
        return max(1, round(self.agents * self._share(at_s / self.seconds)))

    def _share(self, part: float) -> float:
        match self.name:
            case "ramp":
                return min(1.0, part / 0.8)
            case "spike":
                return 1.0 if SPIKE_FROM <= part < 3 * SPIKE_FROM else FEW
            case "diurnal":
                # A night, a day and a night: one wave of a cosine.
                return FEW + (1 - FEW) * (1 - math.cos(2 * math.pi * part)) / 2
            case "overload":
                # What is held, then twice that, then what is held again.
                return 1.0 if 1 / 3 <= part < 2 / 3 else 0.5
