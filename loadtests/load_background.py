"""Background traffic: bulk flows fill more and more of a link that all agents share (DeepCOD, figure 11). Pure."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from loadtests.load_scene import Entrant, LoadRun

LINK_MBPS: Final = 52.0
"""About what a Wi-Fi channel carries; the most background leaves 2 Mbit/s of it, a little more than JPEGs need."""
LEVELS_MBPS: Final = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0)
DELAY_MS: Final = 2.0
"""One way."""


@dataclass(frozen=True, slots=True)
class BackgroundRuns:
    """One entrant's runs by the rate of the background, in Mbit/s; the same agents on the same link."""

    entrant: Entrant
    runs: dict[float, LoadRun]

    @property
    def slope_ms_per_mbps(self) -> float | None:
        """By how much the median latency grows with each Mbit/s of background, by least squares over all levels."""
        return slope({mbps: run.figures.p50_s for mbps, run in self.runs.items()})

    @property
    def slope_p95_ms_per_mbps(self) -> float | None:
        """The same of the 95th percentile."""
        return slope({mbps: run.figures.p95_s for mbps, run in self.runs.items()})

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "entrant": self.entrant.name,
            "title": self.entrant.title,
            "slope_ms_per_mbps": self.slope_ms_per_mbps,
            "slope_p95_ms_per_mbps": self.slope_p95_ms_per_mbps,
            "levels": [{"mbps": mbps, "run": run.as_plain()} for mbps, run in self.runs.items()],
        }


def slope(latencies_s: dict[float, float | None]) -> float | None:
    """Fit a line through latencies by background, in ms per Mbit/s; None with fewer than two that were measured."""
    known = [(mbps, seconds) for mbps, seconds in latencies_s.items() if seconds is not None]
    if len(known) < 2:
        return None
    mbps, seconds = np.array(known).T
    return float(np.polyfit(mbps, seconds * 1e3, 1)[0])


def flattest(every: "list[BackgroundRuns]") -> BackgroundRuns | None:
    """Give the entrant whose median grows least; None where none has a slope."""
    known = [runs for runs in every if runs.slope_ms_per_mbps is not None]
    return min(known, key=lambda runs: runs.slope_ms_per_mbps or 0.0, default=None)
