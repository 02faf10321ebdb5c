"""What a cut saves at the same number of agents: bytes on the link, and time of the cluster. Pure."""

from dataclasses import dataclass
from typing import Any

from loadtests.load_scene import Entrant, LoadRun


@dataclass(frozen=True, slots=True)
class Saving:
    """One entrant beside the whole network on the cluster, both with as many agents."""

    entrant: Entrant
    run: LoadRun
    beside: LoadRun

    @property
    def bytes_saved(self) -> float:
        """The share of the bytes a frame, both ways, that are not moved."""
        return _saved(self.run.figures.moved_bytes_a_frame, self.beside.figures.moved_bytes_a_frame)

    @property
    def busy_saved(self) -> float:
        """The share of the tails' own time a frame: decoding and computing, by the cluster's own timings."""
        return _saved(_busy_s(self.run), _busy_s(self.beside))

    @property
    def cpu_saved(self) -> float:
        """The share of the processor time of all the cluster's processes a frame that was due."""
        return _saved(_cpu_s(self.run), _cpu_s(self.beside))

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "entrant": self.entrant.name,
            "title": self.entrant.title,
            "agents": self.run.agents,
            "bytes_saved": self.bytes_saved,
            "busy_saved": self.busy_saved,
            "cpu_saved": self.cpu_saved,
            "run": self.run.as_plain(),
        }


def _saved(ours: float, theirs: float) -> float:
    return 1 - ours / theirs if theirs else 0.0


def _busy_s(run: LoadRun) -> float:
    return run.figures.busy_s / run.figures.due if run.figures.due else 0.0


def _cpu_s(run: LoadRun) -> float:
    return run.cluster_cpu * run.figures.seconds / run.figures.due if run.figures.due else 0.0
