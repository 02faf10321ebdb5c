"""What the agent says of one frame, and of a whole run; plain records, and their JSON."""

import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from device_agent.emulation import Emulated
from device_agent.prediction import Prediction
from wire.manifest import Option

LATENCIES_KEPT: Final = 100_000
"""The percentiles of a longer run are those of its last frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the time of one frame went, in seconds.

    ``wait`` from its due time to its start, ``device`` the head (or the whole network, if that was the
    plan), ``code`` the entropy coder, ``link`` the round trip less ``cluster``, ``local`` the device's own
    answer after the plan failed. ``code``, ``link`` and ``cluster`` are of both looks, where there were two.
    """

    wait: float = 0.0
    device: float = 0.0
    code: float = 0.0
    link: float = 0.0
    cluster: float = 0.0
    local: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAnswer:
    """The answer to one frame; ``option`` is what gave it, and ``planned`` what was tried first.

    ``looks`` is the number of exchanges that were begun, and ``sent_bytes`` is of all of them. What the last look
    gave is its option's answer: further looks are part of that option, and in what is predicted and measured of it.
    """

    frame: int
    unix_s: float
    due_unix_s: float
    option: Option
    planned: Option
    where: Literal["cluster", "device"]
    fallback: str | None
    top: tuple[tuple[str, float], ...]
    latency_s: float
    parts: Parts
    predicted: Prediction
    look_bytes: tuple[int, ...]
    """Sent with each look."""
    moved_bytes: int
    """Both ways, of all messages."""
    energy_j: float
    """Of the device's processor and radio, by its energy model; 0 where nothing is known of them."""
    in_time: bool
    """Whether the deadline was met."""
    broken: tuple[str, ...]
    """The constraints that the plan could not keep."""
    bandwidth_bytes_s: float | None
    emulated: Emulated | None
    overhead_s: float
    reasons: tuple[str, ...]

    @property
    def sent_bytes(self) -> int:
        """Of all looks."""
        return sum(self.look_bytes)

    @property
    def looks(self) -> int:
        """How many exchanges were begun."""
        return len(self.look_bytes)

    @property
    def label(self) -> str:
        """The best label."""
        return self.top[0][0] if self.top else ""

    @property
    def score(self) -> float:
        """The score of the best label."""
        return self.top[0][1] if self.top else 0.0

    def as_plain(self) -> dict[str, Any]:
        """Give the JSON line of this frame; milliseconds and Mbit/s, since people read it."""
        predicted = self.predicted
        bandwidth = self.bandwidth_bytes_s
        return {
            "event": "frame",
            "frame": self.frame,
            "unix_s": round(self.unix_s, 6),
            "due_unix_s": round(self.due_unix_s, 6),
            "point": self.option.point,
            "codec": self.option.codec,
            "rate": self.option.rate,
            "option": self.option.id,
            "planned": self.planned.id,
            "where": self.where,
            "fallback": self.fallback,
            "label": self.label,
            "score": round(self.score, 4),
            "top": [[label, round(score, 4)] for label, score in self.top],
            "latency_ms": _ms(self.latency_s),
            "parts_ms": {name: _ms(getattr(self.parts, name)) for name in Parts.__slots__},
            "predicted_ms": {
                "device": _ms(predicted.device_s),
                "link": _ms(predicted.link_s),
                "cluster": _ms(predicted.cluster_s),
                "total": _ms(predicted.total_s),
            },
            "in_time": self.in_time,
            "bytes": self.sent_bytes,
            "look_bytes": list(self.look_bytes),
            "moved_bytes": self.moved_bytes,
            "energy_mj": _ms(self.energy_j),
            "predicted_energy_mj": _ms(predicted.energy_j),
            "broken": list(self.broken),
            "looks": self.looks,
            "bandwidth_mbps": None if bandwidth is None else round(bandwidth * 8e-6, 3),
            "overhead_ms": _ms(self.overhead_s),
            "reasons": list(self.reasons),
            **emulation_fields(self.emulated),
        }


@dataclass(slots=True)
class Tally:
    """Counts a run, frame by frame."""

    emulated: Emulated | None = None
    frames: int = 0
    answered: int = 0
    start_s: float | None = None
    by_option: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    looked_again: int = 0
    """Frames with more than one look."""
    overhead_s: float = 0.0
    late: int = 0
    """Frames that missed their deadline."""
    broken: Counter[str] = field(default_factory=Counter)
    moved_bytes: int = 0
    energy_j: float = 0.0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))

    def note(self, answer: FrameAnswer) -> None:
        """Count one answer."""
        self.answered += 1
        self.by_option[option_name(answer.option)] += 1
        if answer.fallback is not None:
            self.fallbacks[answer.fallback] += 1
        self.looked_again += answer.looks > 1
        self.late += not answer.in_time
        self.broken.update(answer.broken)
        self.moved_bytes += answer.moved_bytes
        self.energy_j += answer.energy_j
        self.overhead_s += answer.overhead_s
        self.latencies_s.append(answer.latency_s)

    def as_plain(
        self, *, late_dropped: int, skipped: dict[str, int], switches: int, rss_mb: float | None
    ) -> dict[str, Any]:
        """Give the summary line."""
        latencies_s = np.array(self.latencies_s) if self.latencies_s else None
        percentiles = np.percentile(latencies_s, (50, 95, 99)) if latencies_s is not None else (None, None, None)
        p50_s, p95_s, p99_s = percentiles
        return {
            "event": "summary",
            "frames": self.frames,
            "answered": self.answered,
            "unanswered": self.frames - self.answered,
            "by_option": dict(self.by_option),
            "fallbacks": dict(self.fallbacks),
            "looked_again": self.looked_again,
            "late_dropped": late_dropped,
            "skipped": skipped,
            "switches": switches,
            "deadline_missed": self.late,
            "broken": dict(self.broken),
            "moved_bytes": self.moved_bytes,
            "energy_j": round(self.energy_j, 3),
            "latency_ms": {"p50": _ms(p50_s), "p95": _ms(p95_s), "p99": _ms(p99_s)},
            "agent_overhead_ms": _ms(self.overhead_s / self.answered) if self.answered else None,
            "start_s": None if self.start_s is None else round(self.start_s, 3),
            "rss_mb": None if rss_mb is None else round(rss_mb, 1),
            **emulation_fields(self.emulated),
        }


def option_name(option: Option) -> str:
    """Name an option as a policy does: POINT/RATE."""
    return f"{option.point}/{option.rate}"


def emulation_fields(emulated: Emulated | None) -> dict[str, Any]:
    """Say what is emulated, as every line of output does; None where nothing is."""
    return {
        "emulated_device": emulated.device if emulated is not None else None,
        "emulated_slowdown": round(emulated.slowdown, 3) if emulated is not None else None,
    }


def as_line(plain: dict[str, Any]) -> str:
    """Write one JSON line, with its newline."""
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")) + "\n"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(float(seconds) * 1e3, 3)
