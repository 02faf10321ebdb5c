"""Both directions of one device's link in virtual time: when a message that is put on now comes out.

Owns what is still queued in each direction. The rates are the script's, integrated by ``LinkClock``; knows no SimPy.
"""

import math
import random
from typing import Final, Literal

from loadtests.link_clock import LinkClock
from loadtests.link_script import LinkScript

Direction = Literal["up", "down"]

NEVER: Final = math.inf


class VirtualLink:
    """A link whose two directions have a queue each, and follow the same script, as those of the relay do.

    A message comes out whole, behind those that were put on before it. Where the script says so it is jittered: one
    draw a message, since what the last of its packets got is what counts. On a link that ends stalled or down, what is
    left comes out ``NEVER``. Times are those of the script, and must not go back.
    """

    def __init__(self, script: LinkScript, *, seed: int = 0) -> None:
        self._script = script
        self._clock = LinkClock(script)
        self._jitters = any(step.state.jitter_s for step in script.steps)
        self._random = random.Random(seed)
        self._free_s = {"up": 0.0, "down": 0.0}
        self._last_out_s = {"up": 0.0, "down": 0.0}
        self.carried_bytes = {"up": 0.0, "down": 0.0}
        """What was put on so far."""

    def carry(self, direction: Direction, size_bytes: float, at_s: float) -> float:
        """Put a message on at ``at_s``; gives when all of it is out at the far end, or ``NEVER``."""
        free_s = self._free_s[direction]
        self.carried_bytes[direction] += size_bytes
        out_s = self._clock.delivered_s(size_bytes, at_s, free_at_s=free_s)
        sent_s = self._free_s[direction] = self._clock.sent_s(size_bytes, at_s, free_at_s=free_s)
        if self._jitters and out_s < NEVER:
            out_s += self._script.state_at(sent_s).draw_jitter_s(self._random)
        out_s = self._last_out_s[direction] = max(out_s, self._last_out_s[direction])
        return out_s
