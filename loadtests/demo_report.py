"""What a demo run came to: by option, by step of the link, and whether what was promised held. Pure.

Owns the figures; draws nothing.
"""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Final

import numpy as np

from loadtests.demo_run import DemoRecord, Event

RETURN_WITHIN_S: Final = 3.0
SETTLE_S: Final = 1.0
"""A frame that was on its way when the link went down may still have crossed it."""


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option: how often it was chosen, and the latency that was predicted and measured, without waiting.

    ``compared`` counts the frames behind the latencies: those of the script and those of the round after it.
    """

    option: str
    chosen: int
    compared: int
    bytes: float
    predicted_ms: float
    measured_ms: float
    error_ms: float


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the link: what was chosen, and the latency from the moment that a frame was due."""

    from_s: float
    rate_mbps: float | None
    frames: int
    options: dict[str, int]
    p50_ms: float
    p95_ms: float
    bytes: float
    answered_by_cluster: int


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The whole run; ``failures`` lists the promises that did not hold."""

    frames: int
    unanswered: int
    options_chosen: int
    remote_after_return_s: float | None
    mean_error_ms: float
    by_option: list[OptionRow]
    by_step: list[StepRow]
    failures: list[str]

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self)


def report(record: DemoRecord) -> DemoReport:
    """Work a record out."""
    frames = record.frames()
    summaries = record.summaries()
    unanswered = sum(summary["unanswered"] for summary in summaries.values())
    remote_after_s = _remote_after_return(record, frames)
    by_option = _by_option(frames, record.sweep)
    chosen = sum(row.chosen > 0 for row in by_option)
    failures = []
    if len(summaries) < len(record.events):
        failures.append("an agent ended without a summary")
    if unanswered:
        failures.append(f"{unanswered} frames were not answered")
    if chosen < 3:
        failures.append(f"only {chosen} options were chosen")
    if outage := _answered_in_outage(record, frames):
        failures.append(f"{outage} frames were answered by the cluster while the link was down")
    if remote_after_s is None or remote_after_s > RETURN_WITHIN_S:
        failures.append(f"the cluster did not answer within {RETURN_WITHIN_S:.0f} s of the link's return")
    return DemoReport(
        frames=len(frames),
        unanswered=unanswered,
        options_chosen=chosen,
        remote_after_return_s=remote_after_s,
        mean_error_ms=_mean_error_ms(by_option),
        by_option=by_option,
        by_step=_by_step(record, frames),
        failures=failures,
    )


def option_of(frame: Event) -> str:
    """Name the option that answered a frame."""
    return f"{frame['point']}/{frame['rate']}"


def _mean_error_ms(rows: list[OptionRow]) -> float:
    return sum(row.error_ms * row.compared for row in rows) / max(1, sum(row.compared for row in rows))


def _by_option(frames: list[Event], sweep: list[Event]) -> list[OptionRow]:
    chosen = Counter(option_of(frame) for frame in frames)
    grouped: dict[str, list[Event]] = defaultdict(list)
    for frame in (*frames, *sweep):
        if frame["fallback"] is None or frame["planned"] == frame["option"]:  # predictions are of what was planned
            grouped[option_of(frame)].append(frame)
    rows = []
    for option, group in sorted(grouped.items(), key=lambda item: item[1][0]["option"]):
        predicted = [frame["predicted_ms"]["total"] for frame in group]
        measured = [_worked_ms(frame) for frame in group]
        errors = [abs(p - m) for p, m in zip(predicted, measured, strict=True)]
        rows.append(
            OptionRow(
                option=option,
                chosen=chosen[option],
                compared=len(group),
                bytes=fmean(frame["bytes"] for frame in group),
                predicted_ms=fmean(predicted),
                measured_ms=fmean(measured),
                error_ms=fmean(errors),
            )
        )
    return rows


def _worked_ms(frame: Event) -> float:
    parts = frame["parts_ms"]
    return sum(parts[name] for name in ("device", "code", "link", "cluster", "local"))


def _by_step(record: DemoRecord, frames: list[Event]) -> list[StepRow]:
    starts = [step.at_s for step in record.script.steps]
    rows = []
    for step, (start, end) in zip(record.script.steps, pairwise([*starts, record.seconds]), strict=True):
        here = [frame for frame in frames if start <= frame["due_unix_s"] - record.began_unix_s < end]
        if not here:
            continue
        options: dict[str, int] = defaultdict(int)
        for frame in here:
            options[option_of(frame)] += 1
        latencies = [frame["latency_ms"] for frame in here]
        rows.append(
            StepRow(
                from_s=start,
                rate_mbps=step.state.rate_mbps,
                frames=len(here),
                options=dict(sorted(options.items(), key=lambda item: -item[1])),
                p50_ms=median(latencies),
                p95_ms=float(np.percentile(latencies, 95)),
                bytes=fmean(frame["bytes"] for frame in here),
                answered_by_cluster=sum(frame["where"] == "cluster" for frame in here),
            )
        )
    return rows


def _outages(record: DemoRecord) -> list[tuple[float, float]]:
    starts = [step.at_s for step in record.script.steps]
    ends = [*starts[1:], record.seconds]
    return [(s.at_s, end) for s, end in zip(record.script.steps, ends, strict=True) if s.state.rate_mbps is None]


def _answered_in_outage(record: DemoRecord, frames: list[Event]) -> int:
    return sum(
        frame["where"] == "cluster" and start + SETTLE_S <= frame["unix_s"] - record.began_unix_s < end
        for start, end in _outages(record)
        for frame in frames
    )


def _remote_after_return(record: DemoRecord, frames: list[Event]) -> float | None:
    """Give the longest time that any agent took, after any outage, until the cluster answered it again."""
    longest = 0.0
    for _, end in _outages(record):
        if end >= record.seconds:
            continue  # the link did not return
        for agent in record.events:
            after = [
                frame["unix_s"] - record.began_unix_s - end
                for frame in frames
                if frame["agent"] == agent
                and frame["where"] == "cluster"
                and frame["unix_s"] - record.began_unix_s > end
            ]
            if not after:
                return None
            longest = max(longest, min(after))
    return longest
