"""How far the clocks of this machine and of the cluster are apart: tokens and certificates expire by the clock."""

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from device_agent.doctor.deployment import DatedFetch
from device_agent.doctor.finding import Finding

WARN_S: Final = 2.0
FAIL_S: Final = 60.0
DATE_BEHIND_S: Final = 1.0
"""A Date header has whole seconds, and a server may make it once a second: it is 0 to 2 s behind."""
_MOST_BYTES: Final = 2**20


class ClockCheck:
    """Compares the Date header of a response with this machine's time."""

    name = "clock"
    needs = ("cluster",)

    def __init__(self, fetch: DatedFetch, *, now: Callable[[], float] = time.time) -> None:
        self._fetch, self._now = fetch, now

    def run(self) -> Iterator[Finding]:
        """Ask for the time; raises ClusterUnreachable."""
        asked_s = self._now()
        self._fetch("/v1/version", _MOST_BYTES)
        answered_s = self._now()
        said_s = _unix_s(self._fetch.date)
        if said_s is None:
            yield Finding(self.name, "warn", "the cluster does not say what time it is, so the clocks are not compared")
        else:
            ahead_s = said_s + DATE_BEHIND_S - (asked_s + answered_s) / 2
            yield self._of(ahead_s, unsure_s=DATE_BEHIND_S + (answered_s - asked_s) / 2)

    def _of(self, ahead_s: float, *, unsure_s: float) -> Finding:
        figures = {"ahead_s": round(ahead_s, 3), "unsure_s": round(unsure_s, 3)}
        # What the round trip makes unsure must not look like a clock that is wrong.
        apart_s = abs(ahead_s) - (unsure_s - DATE_BEHIND_S)
        if apart_s <= WARN_S:
            sentence = f"the clocks agree within {WARN_S:.0f} s, as far as a Date header can tell"
            return Finding(self.name, "ok", sentence, figures=figures)
        way = "ahead of" if ahead_s > 0 else "behind"
        return Finding(
            self.name,
            "fail" if apart_s > FAIL_S else "warn",
            f"the cluster's clock is {_duration(abs(ahead_s))} {way} this machine's, and tokens expire by the clock",
            "have NTP set both: `timedatectl set-ntp true`",
            figures=figures,
        )


def _unix_s(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _duration(seconds: float) -> str:
    for unit, size_s in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.1f} {unit}"
    return f"{seconds:.0f} s"
