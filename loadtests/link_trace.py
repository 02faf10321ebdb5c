"""A recorded link: how many Mbit/s it carried at what time, as a script that the relay and the clock can play.

A file is a CSV with the columns ``time_s`` and ``mbps``. A row's rate holds from its time to the next row's; 0 is a
stall, in which nothing is delivered and nothing is lost. The last row holds as long as the median row. Times are
kept to the microsecond.
"""

import bisect
import csv
import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from loadtests.link_script import LinkScript, LinkState, Step
from wire.errors import SettingError

_COLUMNS: Final = ("time_s", "mbps")
_FORM: Final = "give a CSV with the columns time_s (s, rising) and mbps (Mbit/s, 0 or more)"


@dataclass(frozen=True, slots=True)
class LinkTrace:
    """The rates of a recorded link in Mbit/s, each from its time on; the times are re-timed to begin at 0 s."""

    times_s: tuple[float, ...]
    rates_mbps: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a trace, wherever its times begin.

        Raises:
            SettingError: there is no such file, or it is not of the form; the message names the line.

        """
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(_rows(path, file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SettingError(f"cannot read the trace {path}: {error}", mend=_FORM) from error
        if len(rows) < 2:
            raise SettingError(f"the trace {path} has fewer than two rows", mend=_FORM)
        began_s = rows[0][0]
        times_s = tuple(_microseconds(time_s - began_s) for time_s, _ in rows)
        return cls(times_s, tuple(rate_mbps for _, rate_mbps in rows))

    @property
    def length_s(self) -> float:
        """How long the whole trace is, its last row included."""
        last_row_s = statistics.median(later - earlier for earlier, later in itertools.pairwise(self.times_s))
        return _microseconds(self.times_s[-1] + last_row_s)

    def script(
        self, *, delay_s: float, jitter_s: float = 0.0, begin_s: float = 0.0, seconds: float | None = None
    ) -> LinkScript:
        """Give the window of ``seconds`` from ``begin_s`` on, re-timed to begin at 0 s; its last state holds for ever.

        The trace goes round and round; without ``seconds`` it is played once, from ``begin_s`` on.

        Raises:
            SettingError: the window, the delay or the jitter makes no sense.
        """
        length_s = self.length_s
        seconds = length_s if seconds is None else seconds
        if not (math.isfinite(begin_s) and begin_s >= 0 and math.isfinite(seconds) and seconds > 0):
            message = f"a trace has no window of {seconds:g} s from {begin_s:g} s on"
            raise SettingError(message, mend="begin at 0 s or later, and play more than 0 s")
        rounds = self._rounds(_microseconds(begin_s % length_s) % length_s, length_s)
        window = itertools.takewhile(lambda row: row[0] < seconds, rounds)
        return LinkScript(tuple(Step(at_s, LinkState(mbps, delay_s, jitter_s)) for at_s, mbps in window))

    def _rounds(self, begin_s: float, length_s: float) -> Iterator[tuple[float, float]]:
        """Give times since ``begin_s`` and rates without end, first the row that holds at ``begin_s``."""
        first = bisect.bisect_right(self.times_s, begin_s) - 1
        yield 0.0, self.rates_mbps[first]
        for number in itertools.count(first + 1):
            turn, row = divmod(number, len(self.times_s))
            yield _microseconds(turn * length_s + self.times_s[row] - begin_s), self.rates_mbps[row]


def _rows(path: Path, lines: Iterator[str]) -> Iterator[tuple[float, float]]:
    reader = csv.DictReader(lines)
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise SettingError(f"the trace {path} has no column {missing[0]!r} in line 1", mend=_FORM)
    before_s = -math.inf
    for row in reader:
        where = f"line {reader.line_num} of the trace {path}"
        time_s, rate_mbps = (_number(row[name], name, where) for name in _COLUMNS)
        time_s = _microseconds(time_s)
        if time_s <= before_s:
            raise SettingError(f"{where}: {time_s:g} s does not follow {before_s:g} s", mend=_FORM)
        if rate_mbps < 0:
            raise SettingError(f"{where}: a rate of {rate_mbps:g} Mbit/s", mend=_FORM)
        before_s = time_s
        yield time_s, rate_mbps


def _number(text: str | None, column: str, where: str) -> float:
    try:
        number = float(text or "")
    except ValueError as error:
        raise SettingError(f"{where}: {text!r} is no number for {column}", mend=_FORM) from error
    if not math.isfinite(number):
        raise SettingError(f"{where}: {text!r} is no number for {column}", mend=_FORM)
    return number


def _microseconds(time_s: float) -> float:
    return round(time_s, 6)
