"""How long a Triton may take for something before it counts as hung: longer, where such a verdict did not help.

Pure: times are given, not taken.
"""

from math import inf
from typing import Final

SOON_S: Final = 300.0
GROWS: Final = 2.0
MOST: Final = 8.0


class TritonPatience:
    """A factor on every wait: grows each time that a Triton was ended for its slowness, and is 1 again when none was.

    A machine that is too busy makes each Triton seem to hang, and one that is started in its place makes it busier.
    """

    def __init__(self) -> None:
        self._factor = 1.0
        self._ended_s = -inf

    def ended_for_slowness(self, *, now_s: float) -> None:
        """Note that a Triton that still ran was ended, since it did not answer in time."""
        self._factor = min(self.factor(now_s=now_s) * GROWS, MOST)
        self._ended_s = now_s

    def factor(self, *, now_s: float) -> float:
        """Say how many times as long as usual is waited now."""
        return self._factor if now_s - self._ended_s < SOON_S else 1.0
