"""Which frames can be answered by their deadlines, and who goes when not all of them can.

Owns the forecast of a queue: batches are formed in the order of deadlines, each no larger than its first frame can
bear. Pure functions of what waits, of when the backend is free, and of what batches take.
"""

from collections.abc import Sequence
from heapq import heapify, heapreplace
from typing import Any, Final

from serve_apps.fair_queue import Waiting
from serve_apps.service_times import ServiceTimes

CAUTION: Final = 2.0
"""Mean deviations of a batch's time that must be to spare, for all that wait, when one more is let in."""


def batch_size(left_s: float, times: ServiceTimes, most: int) -> int:
    """Give how many frames a batch may have whose nearest deadline is so far away; 0 if it cannot be met.

    The room for a deviation is kept only by batches that can be made smaller.
    """
    careful = times.most_frames(left_s, deviations=1.0)
    if careful >= 1:
        return int(min(careful, most))
    return 1 if times.most_frames(left_s) >= 1 else 0


def best_skip(lefts_s: Sequence[float], times: ServiceTimes, most: int) -> int:
    """Give how many of the nearest deadlines to give up under overload, by what is left until each.

    A frame that has little time left holds a batch small, and what a batch costs beside its frames is then lost to many
    others that wait. It is given up where that answers more frames: a batch of n is worth n less what the backend could
    have answered meanwhile at its best rate.
    """
    rate = most / times.expected_s(most) if times.expected_s(most) > 0 else 0.0
    best = (float("-inf"), 0)
    for skipped, left_s in enumerate(lefts_s[:most]):
        size = min(batch_size(left_s, times, most), len(lefts_s) - skipped)
        worth = size - rate * times.expected_s(size) - skipped if size else float("-inf")
        best = max(best, (worth, -skipped))
    return -best[1]


def wanted_size(budget_s: float, times: ServiceTimes, most: int) -> int:
    """Give the size of batch to aim at for frames of a budget: two such batches, one of them ahead, take no longer.

    Without it, frames would be let in for as long as batches of one could still answer them, and batches of one it
    would be from then on: each first frame would have just the time for itself, and the backend would be wasted.
    """
    return max(1, int(min(times.most_frames(budget_s / 2), most)))


def starts_of(
    frames: Sequence[Waiting[Any]], free_s: Sequence[float], times: ServiceTimes, most: int
) -> tuple[list[tuple[int, float]], int | None]:
    """Forecast the batches: the index of the first frame of each and when it starts, up to the first that is too late.

    ``frames`` are in the order of their deadlines, and ``free_s`` says when each lane of the backend can take a batch.
    The second value is the index of the first frame that comes so late that its batch would have to be smaller than it
    aims at, though frames wait for it, or could be late by ``CAUTION``; None if there is none.
    """
    free = list(free_s)
    heapify(free)
    starts: list[tuple[int, float]] = []
    at = 0
    while at < len(frames):
        first, left = frames[at], len(frames) - at
        size = int(min(times.most_frames(first.until_s - free[0], deviations=CAUTION), most, left))
        if size < min(first.size, left):
            return starts, at
        starts.append((at, free[0]))
        heapreplace(free, free[0] + times.expected_s(size))
        at += size
    return starts, None


def drained_s(frames: Sequence[Waiting[Any]], free_s: Sequence[float], times: ServiceTimes, most: int) -> float:
    """Give when a frame with a far deadline would be answered that joins behind all these."""
    free = list(free_s)
    heapify(free)
    at, count = 0, len(frames) + 1
    while True:
        left_s = frames[at].until_s - free[0] if at < len(frames) else float("inf")
        size = min(max(1, int(min(times.most_frames(left_s), most))), count - at)
        done = free[0] + times.expected_s(size)
        at += size
        if at >= count:
            return done
        heapreplace(free, done)
