"""When the next probe may go, so that a metered link pays little for an agent that has nothing to send.

Owns the wait between two probes; reads no clock.
"""

import math
from typing import Final

FIRST_WAIT_S: Final = 2.0
MOST_WAIT_S: Final = 10.0


class ProbeTimer:
    """A wait that doubles, from 2 s to 10 s, with every probe that found nothing new."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Let a probe go at once, and the wait begin anew."""
        self._wait_s = FIRST_WAIT_S
        self._due_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Tell whether the wait is over."""
        return now_s >= self._due_s

    def note_answer(self, now_s: float, *, idle: bool) -> None:
        """Begin the next wait, which is longer than the last one where that was for nothing: ``idle``."""
        if not idle:
            self._wait_s = FIRST_WAIT_S
        self._due_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, MOST_WAIT_S)
