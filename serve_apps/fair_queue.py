"""The frames that wait for one cluster graph: the nearest deadline first, and what each device has had of late.

Deadlines decide the order, shares decide who goes when not everybody can be answered in time: a queue in the order of
deadlines answers all that can be answered at all, and where it cannot, any frame before the first late one may go
instead of it at the same gain (Moore and Hodgson, 1968), so that fairness costs no answers.

Owns the order, the bounds and the shares. Pure: it has no clock, and knows nothing of what the frames hold.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Generic, TypeVar

SHARE_HALF_LIFE_S: Final = 1.0
"""How fast it is forgotten that a device had its frames computed."""
GREEDY: Final = 2.0
"""A device has clearly more than another when it has so many times as much: below, they are equals."""
MOST_SHARES: Final = 4096
"""Devices of which a share is remembered: each costs some hundred bytes, and anyone may invent names."""

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Waiting(Generic[Item]):
    """A frame's place: whose it is, since when and until when it waits; ``ready`` once it can be computed."""

    device: str
    since_s: float
    until_s: float
    item: Item
    ready: bool = True
    size: int = 1
    """Of the batch to aim at for it."""
    number: int = field(default=0)
    """Given by the queue: of two frames with one deadline the earlier one goes first."""


def _deadline(waiting: Waiting[Item]) -> float:
    return waiting.until_s


def _order(waiting: Waiting[Item]) -> tuple[float, int]:
    return waiting.until_s, waiting.number


class FairQueue(Generic[Item]):
    """At most ``most`` frames, and at most ``most_each`` of one device, in the order of their deadlines."""

    def __init__(self, *, most: int, most_each: int) -> None:
        self.most, self.most_each = most, most_each
        self.shares = Shares()
        self._waiting: list[Waiting[Item]] = []
        self._held: Counter[str] = Counter()
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting[Item]]:
        """Go through what waits, the nearest deadline first."""
        return iter(self._waiting)

    @property
    def frames(self) -> Sequence[Waiting[Item]]:
        """What waits, the nearest deadline first."""
        return self._waiting

    def __contains__(self, waiting: Waiting[Item]) -> bool:
        at = bisect_left(self._waiting, _order(waiting), key=_order)
        return at < len(self._waiting) and self._waiting[at] is waiting

    def held(self, device: str) -> int:
        """How many frames of a device wait."""
        return self._held[device]

    def place_of(self, waiting: Waiting[Item]) -> int:
        """Give how many frames go before one that is not in yet."""
        return bisect_right(self._waiting, waiting.until_s, key=_deadline)

    def greedier_than(self, device: str, now: float) -> dict[str, float]:
        """Give the devices that have clearly more of the replica than one that comes with a frame, and how much.

        What a device has are the frames it had computed of late, and those that it holds now; clearly more is more than
        ``GREEDY`` times as much and a frame.
        """
        most = GREEDY * (self.shares.of(device, now) + self._held[device] + 1) + 1
        have = {other: self.shares.of(other, now) + held for other, held in self._held.items()}
        return {other: has for other, has in have.items() if has > most}

    def add(self, waiting: Waiting[Item]) -> None:
        """Put a frame in its place; there must be room for it."""
        assert len(self) < self.most, "who adds a frame makes room for it first"
        assert self._held[waiting.device] < self.most_each, "no device has more than its part of the room"
        waiting.number = next(self._numbers)
        insort(self._waiting, waiting, key=_order)
        self._held[waiting.device] += 1

    def remove(self, waiting: Waiting[Item]) -> bool:
        """Take a frame out; says whether it was there."""
        at = bisect_left(self._waiting, _order(waiting), key=_order)
        if at == len(self._waiting) or self._waiting[at] is not waiting:
            return False
        del self._waiting[at]
        self._forget(waiting)
        return True

    def take(self, most: int) -> list[Waiting[Item]]:
        """Take out so many of the frames that are ready, the nearest deadlines first."""
        return self._take_if(lambda waiting: waiting.ready, most)

    def take_expired(self, now: float) -> list[Waiting[Item]]:
        """Take out the frames whose deadline is over."""
        late = bisect_left(self._waiting, (now, 0), key=_order)
        return self._take_if(lambda _: True, late)

    def _take_if(self, wanted: Callable[[Waiting[Item]], bool], most: int) -> list[Waiting[Item]]:
        taken: list[Waiting[Item]] = []
        left: list[Waiting[Item]] = []
        for at, waiting in enumerate(self._waiting):
            if len(taken) == most:
                left += self._waiting[at:]
                break
            (taken if wanted(waiting) else left).append(waiting)
        self._waiting = left
        for waiting in taken:
            self._forget(waiting)
        return taken

    def _forget(self, waiting: Waiting[Item]) -> None:
        self._held[waiting.device] -= 1
        if not self._held[waiting.device]:
            del self._held[waiting.device]


class Shares:
    """Frames computed for each device, forgotten by half in each ``SHARE_HALF_LIFE_S``; at most ``MOST_SHARES``."""

    def __init__(self) -> None:
        self._frames: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def of(self, device: str, now: float) -> float:
        """Give what a device had of late, in frames."""
        frames, since = self._frames.get(device, (0.0, now))
        return frames * 0.5 ** ((now - since) / SHARE_HALF_LIFE_S)

    def add(self, device: str, now: float) -> None:
        """Count one frame more for a device."""
        frames = self.of(device, now) + 1
        # Put last anew, so that the first is who has had nothing for the longest time.
        self._frames.pop(device, None)
        if len(self._frames) >= MOST_SHARES:
            del self._frames[next(iter(self._frames))]
        self._frames[device] = frames, now
