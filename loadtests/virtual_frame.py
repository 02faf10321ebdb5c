"""What became of one frame in virtual time, whoever decided."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class VirtualFrame:
    """What became of one frame; ``row`` is the option that was planned, and ``where`` says who answered."""

    frame: int
    due_s: float
    row: int
    where: Literal["cluster", "device"]
    fallback: str | None
    latency_s: float
    """Since it was due."""
    predicted_s: float
    """By the planner, from when the frame was begun."""
    looks: int
    sent_bytes: float
    moved_bytes: float
    energy_j: float
    in_time: bool
