"""What came of all faults of one benchmark: the record that is written, and what is wanted of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadtests.adapt_outcome import Loads
from loadtests.fault_run import FaultRun


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultOutcome:
    """The runs in their order."""

    runs: tuple[FaultRun, ...]
    agents: Mapping[str, str]
    """The policy of each agent, by its name."""
    fps: float
    deadline_s: float
    device: str
    unanswered: int
    """Frames that the agents themselves count as never answered, in the whole run."""
    skipped: Mapping[str, str]
    """Faults that could not be brought about here, and why."""
    loads: Loads

    @property
    def sent(self) -> int:
        """Frames of all faults."""
        return sum(run.figures.sent for run in self.runs)

    @property
    def lost(self) -> int:
        """Frames that were never answered, by their numbers or by the agents' own count."""
        return max(sum(run.figures.lost for run in self.runs), self.unanswered)

    @property
    def met(self) -> bool:
        """Whether no frame was lost, and full service came back after every fault."""
        return self.lost == 0 and all(run.figures.full_service_s is not None for run in self.runs)

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "faults": [run.as_plain() for run in self.runs],
            "sent": self.sent,
            "lost": self.lost,
            "met": self.met,
            "agents": dict(self.agents),
            "fps": self.fps,
            "deadline_ms": self.deadline_s * 1e3,
            "device": self.device,
            "skipped": dict(self.skipped),
            "cores": self.loads.cores,
            "load_before": self.loads.before,
            "load_after": self.loads.after,
        }
