"""One answered frame of a run with a policy, real or in virtual time: the record that reports and pictures look at.

Owns the record, and how it is read from what an agent says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from wire.ids import OptionId


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRow:
    """One frame: ``number`` counts the frames of the run's window from 0; options are named POINT/RATE."""

    number: int
    due_s: float
    """Since the window began."""
    planned: str
    """What was tried first."""
    answered: str
    """What gave the answer."""
    where: Literal["cluster", "device"]
    latency_s: float
    """From when the frame was due, so with what it waited for the frames before it."""
    in_time: bool
    moved_bytes: float
    """Both ways, of all messages."""
    energy_j: float
    """Of the device, its radio included, by its energy model."""

    @property
    def point(self) -> str:
        """The point of what was tried first."""
        return self.planned.partition("/")[0]

    @classmethod
    def from_event(
        cls,
        event: Mapping[str, Any],
        *,
        names: Mapping[OptionId, str],
        number: int,
        due_s: float,
        deadline_s: float,
    ) -> "FrameRow":
        """Read a line of the agent; ``names`` are POINT/RATE by option id."""
        return cls(
            number=number,
            due_s=due_s,
            planned=names[event["planned"]],
            answered=names[event["option"]],
            where=event["where"],
            latency_s=event["latency_ms"] / 1e3,
            in_time=event["latency_ms"] / 1e3 <= deadline_s,
            moved_bytes=event["moved_bytes"],
            energy_j=event["energy_mj"] / 1e3,
        )

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON, in the units that people read."""
        return {
            "number": self.number,
            "due_s": round(self.due_s, 4),
            "planned": self.planned,
            "answered": self.answered,
            "where": self.where,
            "latency_ms": round(self.latency_s * 1e3, 3),
            "in_time": self.in_time,
            "moved_bytes": round(self.moved_bytes, 1),
            "energy_mj": round(self.energy_j * 1e3, 3),
        }


@dataclass(frozen=True, slots=True)
class PolicyRun:
    """What one policy did with the frames of one window; ``expected`` frames were due in it."""

    rows: tuple[FrameRow, ...]
    expected: int

    @property
    def switches(self) -> int:
        """How often another option was planned than for the frame before."""
        planned = [row.planned for row in self.rows]
        return sum(before != after for before, after in pairwise(planned))

    @property
    def unanswered(self) -> int:
        """How many frames were due and got no answer."""
        return self.expected - len(self.rows)


Runs = Mapping[str, Mapping[str, PolicyRun]]
"""Runs by trace, then by policy."""
