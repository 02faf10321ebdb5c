"""What the policies' runs over the traces came to: figures by trace and policy, and of all traces together. Pure.

Owns the names of the policies and the figures; the same for real runs and for those in virtual time.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from loadtests.frame_row import PolicyRun, Runs

OURS: Final = "ours"
PAPERS: Final = ("deepcod", "jalad", "neurosurgeon")
BEST_FIXED: Final = "best-fixed"
CLUSTER_ONLY: Final = "cluster-only"
DEVICE_ONLY: Final = "device-only"
ORACLE: Final = "oracle"
POLICIES: Final = (OURS, *PAPERS, BEST_FIXED, CLUSTER_ONLY, DEVICE_ONLY)
"""All that can be run; the oracle is computed, since it knows the trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One policy on one trace, or on all of them; bytes and energy are of a frame, an unanswered frame is missed."""

    frames: int
    unanswered: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    missed: int
    missed_share: float
    bytes: float
    energy_mj: float
    switches: int
    on_cluster_share: float
    """Of the frames that the cluster answered."""


@dataclass(frozen=True, slots=True)
class AdaptReport:
    """Figures by trace and policy, and by policy over all frames of all traces."""

    by_trace: dict[str, dict[str, Figures]]
    overall: dict[str, Figures]

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


def report(runs: Runs) -> AdaptReport:
    """Work out what runs came to; every trace must have the same policies."""
    by_trace = {
        trace: {policy: figures([run]) for policy, run in by_policy.items()} for trace, by_policy in runs.items()
    }
    policies = dict.fromkeys(policy for by_policy in runs.values() for policy in by_policy)
    overall = {policy: figures([by_policy[policy] for by_policy in runs.values()]) for policy in policies}
    return AdaptReport(by_trace, overall)


def figures(runs: Sequence[PolicyRun]) -> Figures:
    """Put the frames of runs together; with no answered frame at all the latencies are infinite."""
    rows = [row for run in runs for row in run.rows]
    expected = sum(run.expected for run in runs)
    unanswered = sum(run.unanswered for run in runs)
    latencies_ms = np.array([row.latency_s for row in rows] or [np.inf]) * 1e3
    # The inverse of the distribution, so that infinite latencies need no interpolation.
    p50, p95, p99 = np.percentile(latencies_ms, (50, 95, 99), method="inverted_cdf")
    missed = unanswered + sum(not row.in_time for row in rows)
    answered = max(1, len(rows))
    return Figures(
        frames=expected,
        unanswered=unanswered,
        mean_ms=float(latencies_ms.mean()),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        missed=missed,
        missed_share=missed / max(1, expected),
        bytes=sum(row.moved_bytes for row in rows) / answered,
        energy_mj=sum(row.energy_j for row in rows) / answered * 1e3,
        switches=sum(run.switches for run in runs),
        on_cluster_share=sum(row.where == "cluster" for row in rows) / answered,
    )


def best_paper(by_policy: dict[str, Figures]) -> str:
    """Name the papers' policy with the least mean latency on a trace."""
    return min((policy for policy in PAPERS if policy in by_policy), key=lambda policy: by_policy[policy].mean_ms)
