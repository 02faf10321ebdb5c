"""What a run of the fuzzer comes to: its figures, and whether they are what is wanted.

Owns the sums and the plain values that are written as JSON.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from loadtests.fuzz_cluster import REPLICA, ClusterRecord
from loadtests.fuzz_record import Finding, Record
from loadtests.fuzz_run import TargetReport

MOST_GROWTH: Final = 0.05
"""Of a process's memory: less is the noise of an allocator, and no leak."""
WANTED_INPUTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that is wanted of a run, and what it is."""

    what: str
    wanted: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class FuzzReport:
    """A whole run."""

    targets: tuple[TargetReport, ...]
    cluster: ClusterRecord | None
    seed: int

    @property
    def inputs(self) -> int:
        """How many inputs were tried, of all targets and the cluster."""
        return sum(target.inputs for target in self.targets) + (self.cluster.record.inputs if self.cluster else 0)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings."""
        found = [finding for target in self.targets for finding in target.findings]
        return (*found, *(self.cluster.findings if self.cluster else ()))

    @property
    def kinds(self) -> Counter[str]:
        """How many findings there are of each kind."""
        return Counter(finding.kind for finding in self.findings)

    @property
    def growth(self) -> tuple[str, float] | None:
        """The process that grew most, and by what share of its memory; None where nothing ran long enough to tell."""
        grown = [(target.name, target.growth) for target in self.targets]
        grown += [("cluster", self.cluster.growth)] if self.cluster else []
        found = [(name, growth) for name, growth in grown if growth is not None]
        return max(found, key=lambda each: each[1], default=None)

    def wanted(self) -> list[Wanted]:
        """Say what is wanted, and whether it is so."""
        hangs, kinds = self.kinds["hang"], self.kinds
        others = sum(kinds.values()) - hangs
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if kind != "hang")
        found = [
            Wanted("inputs", f"at least {WANTED_INPUTS:,}", f"{self.inputs:,}", self.inputs >= WANTED_INPUTS),
            Wanted("crashes, and errors that are not ours", "0", said or "0", others == 0),
            Wanted("hangs", "0", str(hangs), hangs == 0),
        ]
        if (growth := self.growth) is not None:
            says = f"{growth[1]:.1%} ({growth[0]})"
            found.append(Wanted("memory growth", f"< {MOST_GROWTH:.0%}", says, growth[1] < MOST_GROWTH))
        return found

    def as_plain(self) -> dict[str, Any]:
        """Give the figures as plain values."""
        growth = self.growth
        return {
            "inputs": self.inputs,
            "crashes": sum(self.kinds.values()) - self.kinds["hang"],
            "hangs": self.kinds["hang"],
            "memory_growth": growth[1] if growth else None,
            "seed": self.seed,
            "targets": {target.name: _target(target) for target in self.targets},
            "cluster": _cluster(self.cluster) if self.cluster else None,
            "findings": [asdict(finding) for finding in self.findings],
            "wanted": [asdict(wanted) for wanted in self.wanted()],
        }


def probe_s(record: ClusterRecord, share: float) -> float:
    """Give the time that this share of the good device's frames did not exceed."""
    ordered = sorted(record.probes_s) or [0.0]
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _target(target: TargetReport) -> dict[str, Any]:
    return {
        "says": target.says,
        "inputs": target.inputs,
        "guided": _record(target.guided),
        "blind": _record(target.blind),
        "corpus": target.corpus,
        "accepted": target.accepted,
        "memory_growth": target.growth,
        "findings": len(target.findings),
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "inputs": record.inputs,
        "seconds": record.seconds,
        "outcomes": dict(record.outcomes),
        "slowest_s": record.slowest_s,
        "rss_bytes": _thin(record.rss_bytes),
    }


def _cluster(found: ClusterRecord) -> dict[str, Any]:
    return {
        **_record(found.record),
        "memory_growth": found.growth,
        "processes": {
            name: {"replica": name.startswith(REPLICA), "growth": each.growth, "rss_bytes": _thin(each.rss_bytes)}
            for name, each in found.processes.items()
        },
        "probes": len(found.probes_s),
        "probe_p50_s": probe_s(found, 0.5),
        "probe_p95_s": probe_s(found, 0.95),
        "probe_most_s": probe_s(found, 1.0),
        "findings": len(found.findings),
    }


def _thin(samples: Sequence[int]) -> list[int]:
    """Give about twenty of the samples, evenly spread."""
    return list(samples[:: max(1, len(samples) // 20)])
