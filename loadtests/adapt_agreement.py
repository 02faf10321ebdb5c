"""How well runs in virtual time agree with the real ones that they repeat: same traces, policies and frames. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.adapt_report import figures
from loadtests.frame_row import PolicyRun, Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One policy over all traces that were run both ways; ratios are virtual over real."""

    policy: str
    frames: int
    """That were answered in both."""
    mean_ratio: float
    p95_ratio: float
    median_ratio: float
    missed_real: int
    missed_virtual: int
    same_point_share: float
    """Of the frames, those for which the same point was planned."""
    same_option_share: float

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


def agreement(real: Runs, virtual: Runs) -> list[Agreement]:
    """Compare, by policy, what is in both."""
    traces = [trace for trace in real if trace in virtual]
    policies = dict.fromkeys(policy for trace in traces for policy in real[trace] if policy in virtual[trace])
    found = []
    for policy in policies:
        pairs = [(real[t][policy], virtual[t][policy]) for t in traces if policy in real[t] and policy in virtual[t]]
        found.append(_agreement(policy, pairs))
    return found


def _agreement(policy: str, pairs: Iterable[tuple[PolicyRun, PolicyRun]]) -> Agreement:
    kept = [_common(real, virtual) for real, virtual in pairs]
    real, virtual = figures([pair[0] for pair in kept]), figures([pair[1] for pair in kept])
    frames = [rows for pair in kept for rows in zip(pair[0].rows, pair[1].rows, strict=True)]
    count = max(1, len(frames))
    return Agreement(
        policy=policy,
        frames=len(frames),
        mean_ratio=virtual.mean_ms / real.mean_ms,
        p95_ratio=virtual.p95_ms / real.p95_ms,
        median_ratio=virtual.p50_ms / real.p50_ms,
        missed_real=real.missed,
        missed_virtual=virtual.missed,
        same_point_share=sum(one.point == other.point for one, other in frames) / count,
        same_option_share=sum(one.planned == other.planned for one, other in frames) / count,
    )


def _common(real: PolicyRun, virtual: PolicyRun) -> tuple[PolicyRun, PolicyRun]:
    numbers = {row.number for row in real.rows} & {row.number for row in virtual.rows}
    kept = [PolicyRun(tuple(row for row in run.rows if row.number in numbers), len(numbers)) for run in (real, virtual)]
    return kept[0], kept[1]
