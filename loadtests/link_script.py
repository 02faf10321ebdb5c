"""What a link does over time: a rate and a delay, step by step. Pure: no clock, no I/O, no asyncio."""

import bisect
import itertools
import math
import random
from dataclasses import dataclass
from typing import Final, Self

from wire.errors import SettingError

_FORM: Final = 'write steps as SECONDS:MBPS or SECONDS:down, the first at 0, such as "0:20,25:1.1,50:down,65:20"'
RATE_MBPS_MAX: Final = 1e6
"""The fastest that a link, or what competes for one, may run."""
_JITTER_MAX: Final = 10
"""The most jitter that one packet gets, as a multiple of the mean; it takes 0.05 % off an exponential's mean."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """One condition of the link, the same in both directions.

    ``rate_mbps`` is in 10⁶ bits a second; at 0 the link is stalled, what is queued stands still and nothing is lost;
    None while the link is down, where what was under way is lost. ``delay_s`` is one-way propagation. ``jitter_s``
    is the mean of what each packet is delayed on top, exponentially distributed but at most ten times its mean;
    packets never overtake each other, so where they follow closely the slowest of them holds back the others.

    Raises:
        SettingError: no link can be in such a state.
    """

    rate_mbps: float | None
    delay_s: float
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_mbps is not None and not 0 <= self.rate_mbps <= RATE_MBPS_MAX:
            mend = f"give a rate from 0 to {RATE_MBPS_MAX:g} Mbit/s, or say that the link is down"
            raise SettingError(f"a link cannot run at {self.rate_mbps} Mbit/s", mend=mend)
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise SettingError(f"a link cannot delay by {self.delay_s} s", mend="give a delay of 0 s or more")
        if not (math.isfinite(self.jitter_s) and self.jitter_s >= 0):
            raise SettingError(f"a link cannot jitter by {self.jitter_s} s", mend="give a mean of 0 s or more")

    @property
    def bytes_per_s(self) -> float:
        """The rate in bytes a second; 0 while the link is stalled or down."""
        return (self.rate_mbps or 0.0) * 1e6 / 8

    @property
    def jitter_max_s(self) -> float:
        """The most that jitter adds to one packet's delay."""
        return self.jitter_s * _JITTER_MAX

    def draw_jitter_s(self, dice: random.Random) -> float:
        """Draw what one packet is delayed on top."""
        return min(dice.expovariate(1 / self.jitter_s), self.jitter_max_s) if self.jitter_s else 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """From ``at_s`` seconds after the start, the link is in ``state``."""

    at_s: float
    state: LinkState


@dataclass(frozen=True, slots=True)
class LinkScript:
    """The states of a link in the order of their times; the last one holds for ever.

    Raises:
        SettingError: there is no step, the first is not at 0 s, or the times do not grow.

    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        times_s = [step.at_s for step in self.steps]
        if not times_s or times_s[0] != 0:
            raise SettingError("a link script has to say what the link is at 0 s", mend=_FORM)
        for earlier_s, later_s in itertools.pairwise(times_s):
            if not (math.isfinite(later_s) and later_s > earlier_s):
                message = f"step {later_s:g} s of a link script does not follow step {earlier_s:g} s"
                raise SettingError(message, mend="put the steps in the order of their times, each time once")

    def state_at(self, t_s: float) -> LinkState:
        """Tell the state ``t_s`` seconds after the start; before the start, the first state."""
        at = bisect.bisect_right(self.steps, t_s, key=lambda step: step.at_s)
        return self.steps[max(at - 1, 0)].state

    @classmethod
    def parse(cls, text: str, *, delay_s: float, jitter_s: float = 0.0) -> Self:
        """Read ``"0:20,25:1.1,50:down"``: seconds and Mbit/s of each step, all with the same one-way delay and jitter.

        Raises:
            SettingError: the text is not of that form, or the script that it says makes no sense.

        """
        return cls(tuple(_parse_step(part.strip(), delay_s, jitter_s) for part in text.split(",")))


def _parse_step(text: str, delay_s: float, jitter_s: float) -> Step:
    at, colon, rate = text.partition(":")
    if not colon:
        raise SettingError(f"{text!r} is no step of a link script", mend=_FORM)
    rate_mbps = None if rate.strip() == "down" else _number(rate, text)
    return Step(_number(at, text), LinkState(rate_mbps, delay_s, jitter_s))


def _number(text: str, step: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SettingError(f"{text!r} in the step {step!r} is no number", mend=_FORM) from error
