"""What a link does over time: a rate and a delay, step by step. Pure: no clock, no I/O, no asyncio."""

import bisect
import itertools
import math
from dataclasses import dataclass
from typing import Final, Self

from wire.errors import SettingError

_FORM: Final = 'write steps as SECONDS:MBPS or SECONDS:down, the first at 0, such as "0:20,25:1.1,50:down,65:20"'


@dataclass(frozen=True, slots=True)
class LinkState:
    """One condition of the link, the same in both directions.

    ``rate_mbps`` is in 10⁶ bits a second, or None while the link is down; ``delay_s`` is one-way propagation.
    """

    rate_mbps: float | None
    delay_s: float

    def __post_init__(self) -> None:
        if self.rate_mbps is not None and not (math.isfinite(self.rate_mbps) and self.rate_mbps > 0):
            mend = "give a rate above 0 Mbit/s, or say that the link is down"
            raise SettingError(f"a link cannot run at {self.rate_mbps} Mbit/s", mend=mend)
        if not (math.isfinite(self.delay_s) and self.delay_s >= 0):
            raise SettingError(f"a link cannot delay by {self.delay_s} s", mend="give a delay of 0 s or more")

    @property
    def bytes_per_s(self) -> float:
        """The rate in bytes a second; 0 while the link is down."""
        return 0.0 if self.rate_mbps is None else self.rate_mbps * 1e6 / 8


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
    def parse(cls, text: str, *, delay_s: float) -> Self:
        """Read ``"0:20,25:1.1,50:down"``: seconds and Mbit/s of each step, all with the same one-way delay.

        Raises:
            SettingError: the text is not of that form, or the script that it says makes no sense.

        """
        return cls(tuple(_parse_step(part.strip(), delay_s) for part in text.split(",")))


def _parse_step(text: str, delay_s: float) -> Step:
    at, colon, rate = text.partition(":")
    if not colon:
        raise SettingError(f"{text!r} is no step of a link script", mend=_FORM)
    rate_mbps = None if rate.strip() == "down" else _number(rate, text)
    return Step(_number(at, text), LinkState(rate_mbps, delay_s))


def _number(text: str, step: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise SettingError(f"{text!r} in the step {step!r} is no number", mend=_FORM) from error
