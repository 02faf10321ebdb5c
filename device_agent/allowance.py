"""An allowance by the hour, of bytes or of joules: what may still be spent now. Pure: time goes in."""

from math import inf
from typing import Final

SAVED_S: Final = 60.0
"""So much of the past may be saved up: a quiet minute may be followed by a burst."""


class Allowance:
    """Fills steadily, up to what a minute brings, and is emptied by what is spent.

    It may fall below nothing, where a frame had to cost more than there was, and is made good later.
    """

    def __init__(self, per_hour: float, *, now_s: float) -> None:
        self._per_s = per_hour / 3600
        self._left = self._per_s * SAVED_S
        self._at_s = now_s

    def left(self, now_s: float) -> float:
        """Give what may be spent; infinite where nothing is bounded."""
        if self._per_s == inf:
            return inf
        self._left = min(self._left + self._per_s * (now_s - self._at_s), self._per_s * SAVED_S)
        self._at_s = now_s
        return self._left

    def spend(self, amount: float) -> None:
        """Take what one frame cost."""
        self._left -= amount
