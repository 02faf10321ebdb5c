"""The streams that a replica holds, what comes over them, and who is asked to connect again elsewhere.

Owns the list and the counts; the sockets are ``AgentStream``'s. Imports no Ray.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from wire.ids import BundleDigest

RATE_S: Final = 2.0
"""Over about so long a rate is taken."""
ASK_AGAIN_S: Final = 8.0
"""Whoever is still here so long after it was asked to go is asked again."""
GRACE_S: Final = 5.0
MOST_AT_ONCE: Final = 50


class Leaver(Protocol):
    """A stream that can be asked to go."""

    async def go_away(self, reason: str, *, grace_s: float) -> None:
        """Ask its agent to connect again; does nothing to a stream that is gone."""


@dataclass(slots=True)
class Held:
    """One stream in the roster."""

    stream: Leaver
    bundle: BundleDigest
    opened_s: float
    asked_s: float = -math.inf


class RateMeter:
    """Events a second, the newest weighing most."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at_s = 0.0

    def count(self, now_s: float) -> None:
        """Note one event."""
        self._level = self._faded(now_s) + 1.0
        self._at_s = now_s

    def per_s(self, now_s: float) -> float:
        """Give the rate."""
        return self._faded(now_s) / RATE_S

    def _faded(self, now_s: float) -> float:
        return self._level * math.exp((self._at_s - now_s) / RATE_S)


class StreamRoster:
    """Every stream of one replica."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[int, Held] = {}
        self._arrived, self._answered = RateMeter(), RateMeter()
        self._frame_s = clock()
        self.server: tuple[str, int] | None = None
        """Where the last stream came in."""

    @contextmanager
    def holding(self, stream: Leaver, bundle: BundleDigest, server: tuple[str, int] | None) -> Iterator[None]:
        """Hold a stream that was greeted, while the context lasts."""
        self.server = server or self.server
        self._held[id(stream)] = Held(stream, bundle, self._clock())
        try:
            yield
        finally:
            del self._held[id(stream)]

    def note_arrived(self) -> None:
        """Note that a frame came."""
        self._frame_s = self._clock()
        self._arrived.count(self._frame_s)

    def note_answered(self) -> None:
        """Note that one was answered with a result."""
        self._answered.count(self._clock())

    def __len__(self) -> int:
        return len(self._held)

    @property
    def staying(self) -> int:
        """How many streams there are that were not asked to go just now."""
        return sum(1 for _ in self._askable(self._held.values()))

    @property
    def arrived_s(self) -> float:
        """Frames that come in a second."""
        return self._arrived.per_s(self._clock())

    @property
    def answered_s(self) -> float:
        """Frames that are answered in a second."""
        return self._answered.per_s(self._clock())

    @property
    def idle_s(self) -> float:
        """Seconds since the last frame, or since the start."""
        return self._clock() - self._frame_s

    def using(self, bundle: BundleDigest) -> int:
        """Count the streams of a bundle."""
        return sum(held.bundle == bundle for held in self._held.values())

    def not_using(self, bundle: BundleDigest) -> int:
        """Count the streams of other bundles."""
        return len(self._held) - self.using(bundle)

    def older_than(self, age_s: float) -> int:
        """Count the streams that were opened longer ago than this and stay."""
        return sum(1 for _ in self._askable(self._older(age_s)))

    async def send_away(self, count: int, reason: str, *, older_than_s: float = 0.0, grace_s: float = GRACE_S) -> int:
        """Ask up to ``count`` streams to go, the oldest first, and give how many were asked."""
        chosen = sorted(self._askable(self._older(older_than_s)), key=lambda held: held.opened_s)
        return await self._ask(chosen[: min(count, MOST_AT_ONCE)], reason, grace_s)

    async def send_away_others(self, bundle: BundleDigest, count: int, reason: str, *, older_than_s: float) -> int:
        """Ask up to ``count`` streams of other bundles to go, so that they hear of this one."""
        chosen = list(self._askable(held for held in self._older(older_than_s) if held.bundle != bundle))
        return await self._ask(chosen[: min(count, MOST_AT_ONCE)], reason, GRACE_S)

    async def _ask(self, chosen: list[Held], reason: str, grace_s: float) -> int:
        for held in chosen:
            held.asked_s = self._clock()
        await asyncio.gather(*(held.stream.go_away(reason, grace_s=grace_s) for held in chosen))
        return len(chosen)

    def _older(self, age_s: float) -> Iterator[Held]:
        now_s = self._clock()
        return (held for held in self._held.values() if now_s - held.opened_s >= age_s)

    def _askable(self, among: Iterable[Held]) -> Iterator[Held]:
        now_s = self._clock()
        return (held for held in among if now_s - held.asked_s >= ASK_AGAIN_S)
