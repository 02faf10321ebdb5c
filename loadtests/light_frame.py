"""What became of one frame of a generated load, and what many of them come to. Pure.

Owns the record of a frame, and the figures over a window and over each second of a run.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np

SKIPPED: Final = "skipped"
"""Why nobody answered a frame that a newer one had overtaken before anyone looked at it."""

Where = Literal["cluster", "device", "nobody"]


class LightFrame(NamedTuple):
    """One frame that was due; ``due_s`` is from the start of the run. A tuple, since there are many."""

    agent: int
    due_s: float
    latency_s: float
    """From when it was due until its answer; of a frame that nobody answered, until it was given up."""
    where: Where
    option: str
    """POINT/RATE of what was tried first."""
    refusal: str
    """The code of the refusal, ``late`` or ``cut`` where the cluster did not answer in time, or ``skipped``."""
    sent_bytes: int
    received_bytes: int
    looks: int
    busy_s: float
    """What the cluster spent on it by its own timings: decoding, and its share of its batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """What a load came to in one window; latencies are of all answered frames unless their name says otherwise."""

    seconds: float
    due: int
    by_cluster: int
    by_device: int
    unanswered: int
    """Asked for, and answered by nobody; those that were skipped are not among them."""
    skipped: int
    """Overtaken by a newer frame before anyone looked at them; they are due, and in nobody's time."""
    in_time: int
    """Answered within the deadline, by whomever."""
    in_time_by_cluster: int
    refused: int
    """Frames of which the cluster refused a message."""
    refused_by_code: dict[str, int]
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cluster_p95_s: float | None
    """Of the frames that the cluster answered."""
    sent_bytes: int
    received_bytes: int
    by_option: dict[str, int] = field(default_factory=dict)
    """What was tried first."""
    busy_s: float = 0.0

    @property
    def due_a_second(self) -> float:
        """Frames that fell due in a second."""
        return self.due / self.seconds

    @property
    def goodput(self) -> float:
        """Frames a second that were answered within the deadline."""
        return self.in_time / self.seconds

    @property
    def in_time_share(self) -> float:
        """Of all that were due."""
        return self.in_time / self.due if self.due else 0.0

    @property
    def moved_bytes_a_frame(self) -> float:
        """Both ways."""
        return (self.sent_bytes + self.received_bytes) / self.due if self.due else 0.0

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON, the derived figures too."""
        return asdict(self) | {"goodput": self.goodput, "in_time_share": self.in_time_share}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "LoadFigures":
        """Read what ``as_plain`` gave."""
        return cls(**{name: plain[name] for name in cls.__slots__})


def figures_of(frames: Sequence[LightFrame], *, from_s: float, until_s: float, deadline_s: float) -> LoadFigures:
    """Count the frames that fell due in a window."""
    counted = [frame for frame in frames if from_s <= frame.due_s < until_s]
    answered = [frame for frame in counted if frame.where != "nobody"]
    in_time = [frame for frame in answered if frame.latency_s <= deadline_s]
    refusals = Counter(frame.refusal for frame in counted if frame.refusal not in ("", "late", "cut", SKIPPED))
    skipped = sum(frame.refusal == SKIPPED for frame in counted)
    latencies_s = [frame.latency_s for frame in answered]
    p50_s, p95_s, p99_s = percentiles(latencies_s, (50, 95, 99))
    (cluster_p95_s,) = percentiles([frame.latency_s for frame in answered if frame.where == "cluster"], (95,))
    return LoadFigures(
        seconds=until_s - from_s,
        due=len(counted),
        by_cluster=sum(frame.where == "cluster" for frame in answered),
        by_device=sum(frame.where == "device" for frame in answered),
        unanswered=len(counted) - len(answered) - skipped,
        skipped=skipped,
        in_time=len(in_time),
        in_time_by_cluster=sum(frame.where == "cluster" for frame in in_time),
        refused=sum(refusals.values()),
        refused_by_code=dict(refusals),
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        cluster_p95_s=cluster_p95_s,
        sent_bytes=sum(frame.sent_bytes for frame in counted),
        received_bytes=sum(frame.received_bytes for frame in counted),
        by_option=dict(Counter(frame.option for frame in counted if frame.option).most_common()),
        busy_s=sum(frame.busy_s for frame in counted),
    )


def by_second(frames: Sequence[LightFrame], *, seconds: float, deadline_s: float) -> list[LoadFigures]:
    """Give the figures of each whole second of a run."""
    return [
        figures_of(of_second, from_s=second, until_s=second + 1, deadline_s=deadline_s)
        for second, of_second in enumerate(_split(frames, int(seconds)))
    ]


def percentiles(latencies_s: Sequence[float], wanted: Sequence[float]) -> list[float | None]:
    """Give percentiles in seconds; None where there is nothing to take them of."""
    if not latencies_s:
        return [None] * len(wanted)
    return [float(value) for value in np.percentile(latencies_s, wanted)]


def _split(frames: Sequence[LightFrame], seconds: int) -> list[list[LightFrame]]:
    split: list[list[LightFrame]] = [[] for _ in range(seconds)]
    for frame in frames:
        if 0 <= frame.due_s < seconds:
            split[int(frame.due_s)].append(frame)
    return split
