"""What a training tells its listener. Owns the record alone; draws nothing."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: ``loss`` is that of the stage, ``bytes`` an estimate of one frame's.

    ``stage`` is one of the recipe's, or ``features`` while the backbone's answers are computed, where ``step`` counts
    rows. ``agreement`` is the share of held-out rows to which the tail gives the backbone's own answer.
    """

    stage: str
    step: int
    steps: int
    loss: float = float("nan")
    bytes: float = float("nan")
    agreement: float = float("nan")


Listener = Callable[[Progress], None]
