"""Times of repeated runs, by what was run: the median and how far the middle half of them lies apart.

Owns the clock of the profiles, and how the repeats are dealt out over the whole measurement.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from time import perf_counter, thread_time
from typing import Final

import numpy as np

RUNS_A_VISIT: Final = 4
"""Runs in a row, after one that only warms up. The rest of the repeats come when everything else had its turn."""

Clock = Callable[[], float]
Listener = Callable[[str, int, int], None]
"""Told what is going on, how many steps of it are done, and of how many; 0 where nobody knows."""


class Samples:
    """Seconds of runs, by any key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times_s: dict[Hashable, list[float]] = defaultdict(list)

    def visit(self, key: Hashable, function: Callable[[], object], runs: int) -> None:
        """Run something once to warm up, and then so often, noting how long it took."""
        function()
        for _ in range(runs):
            self.run(key, function)

    def run(self, key: Hashable, function: Callable[[], object]) -> None:
        """Run something that is warm, and note how long it took."""
        began_s = self._clock()
        function()
        self._times_s[key].append(self._clock() - began_s)

    def median_s(self, key: Hashable) -> float:
        """Give the median of at least one run."""
        return float(np.median(self._times_s[key]))

    def spread_s(self, key: Hashable) -> float:
        """Give the interquartile range, 0 for a single run."""
        upper, lower = np.percentile(self._times_s[key], (75, 25))
        return float(upper - lower)


def own_clock(threads: int) -> Clock:
    """Give the clock for what runs in this process on so many threads.

    One thread is timed by the processor's time that it took: on a machine that does nothing else that is the time that
    passed, and on a busy one it leaves out what others took meanwhile. Several threads are timed by what passed.
    """
    return thread_time if threads == 1 else perf_counter


def visits(repeats: int) -> Iterator[int]:
    """Deal ``repeats`` runs out: yields how many of them each visit makes."""
    for begun in range(0, repeats, RUNS_A_VISIT):
        yield min(RUNS_A_VISIT, repeats - begun)
