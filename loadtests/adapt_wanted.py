"""What is wanted of our policy on the traces, and what it does: each line with its limit, its value and where it fails.

Owns the limits. Pure functions of a report.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from loadtests.adapt_report import (
    BEST_FIXED,
    CLUSTER_ONLY,
    ORACLE,
    OURS,
    PAPERS,
    AdaptReport,
    Figures,
    best_paper,
)

MOST_OF_ORACLE: Final = 1.10
MOST_OF_BEST_FIXED: Final = 0.7
MOST_OF_CLUSTER_ONLY: Final = 0.5
MOST_OF_PAPERS: Final = 1.05


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A trace on which a line does not hold by itself, and what is there instead, in words."""

    trace: str
    said: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of what is wanted: ``value`` should be at most ``limit``.

    ``of_all`` says whether the value is over all traces; then ``short`` names those that alone would not keep it. Else
    the line holds only if it holds on every trace, and ``short`` says where it does not.
    """

    wanted: str
    limit: float
    value: float
    met: bool
    of_all: bool
    short: tuple[Shortfall, ...] = ()
    oracle: float | None = None
    """What the oracle's value would be, where there is one: no planner comes below it by much."""

    @property
    def over(self) -> float:
        """By how much the value is over the limit, as a share of it; 0 where it is met, infinite over a limit of 0."""
        if self.met:
            return 0.0
        return self.value / self.limit - 1 if self.limit else float("inf")

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


def verdicts(report: AdaptReport) -> list[Verdict]:
    """Judge our policy; lines whose rival is not in the report are left out."""
    found = []
    policies = report.overall
    if ORACLE in policies:
        found.append(_ratio(report, "mean latency, of the oracle's", MOST_OF_ORACLE, ORACLE, _mean_ms))
    if BEST_FIXED in policies:
        found.append(_ratio(report, "p95, of the best fixed option's", MOST_OF_BEST_FIXED, BEST_FIXED, _p95_ms))
    if CLUSTER_ONLY in policies:
        found.append(_ratio(report, "p95, of cluster-only's", MOST_OF_CLUSTER_ONLY, CLUSTER_ONLY, _p95_ms))
    found.append(_misses(report))
    if any(policy in policies for policy in PAPERS):
        found.append(_papers(report))
    unanswered = policies[OURS].unanswered
    return [*found, Verdict("frames without an answer", 0, unanswered, unanswered == 0, of_all=True)]


def drop_verdict(frames: Iterable[int], *, within: int) -> Verdict:
    """Judge how many frames each of our runs took until it was back on the best option, after the link's rate fell."""
    counts = list(frames)
    late = sum(count > within for count in counts)
    said = (Shortfall("", f"{late} of {len(counts)} falls took more"),) if late else ()
    most = max(counts)
    return Verdict(
        "frames until back on the best option after a tenfold fall", within, most, not late, of_all=False, short=said
    )


def _ratio(report: AdaptReport, wanted: str, limit: float, rival: str, measure: Callable[[Figures], float]) -> Verdict:
    def ratio(by_policy: dict[str, Figures], policy: str = OURS) -> float:
        return measure(by_policy[policy]) / measure(by_policy[rival])

    value = ratio(report.overall)
    oracle = ratio(report.overall, ORACLE) if ORACLE in report.overall else None
    ratios = {trace: ratio(by_policy) for trace, by_policy in report.by_trace.items()}
    short = tuple(Shortfall(trace, f"{each:.2f}") for trace, each in ratios.items() if each > limit)
    return Verdict(wanted, limit, value, value <= limit, of_all=True, short=short, oracle=oracle)


def _misses(report: AdaptReport) -> Verdict:
    """Count the traces on which another policy misses no more deadlines; where both miss none, nobody can be better.

    The oracle is left out: it knows the trace.
    """

    def not_worse(by_policy: dict[str, Figures], than: str) -> list[str]:
        most = by_policy[than].missed
        others = [policy for policy in by_policy if policy not in (OURS, ORACLE)]
        return [
            f"{policy} {by_policy[policy].missed}" for policy in others if by_policy[policy].missed <= most and most
        ]

    short = tuple(
        Shortfall(trace, f"ours {by_policy[OURS].missed}, {', '.join(said)}")
        for trace, by_policy in report.by_trace.items()
        if (said := not_worse(by_policy, OURS))
    )
    oracle = None
    if ORACLE in report.overall:
        oracle = sum(bool(not_worse(by_policy, ORACLE)) for by_policy in report.by_trace.values())
    wanted = "traces on which another policy misses as few deadlines"
    return Verdict(wanted, 0, len(short), not short, of_all=False, short=short, oracle=oracle)


def _papers(report: AdaptReport) -> Verdict:
    ratios = {}
    for trace, by_policy in report.by_trace.items():
        best = best_paper(by_policy)
        ratios[trace] = by_policy[OURS].mean_ms / by_policy[best].mean_ms, best
    short = tuple(
        Shortfall(trace, f"{ratio:.2f} of {best}") for trace, (ratio, best) in ratios.items() if ratio > MOST_OF_PAPERS
    )
    worst = max(ratio for ratio, _ in ratios.values())
    wanted = "mean latency on the worst trace, of the best of the papers'"
    return Verdict(wanted, MOST_OF_PAPERS, worst, not short, of_all=False, short=short)


def _mean_ms(figures: Figures) -> float:
    return figures.mean_ms


def _p95_ms(figures: Figures) -> float:
    return figures.p95_ms
