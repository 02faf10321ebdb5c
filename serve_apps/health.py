"""Whether a replica is well: it answered a frame lately, or answers one now, through its tail and all behind it.

Owns the frame that is tried, and how long a fault may last before the replica gives itself up. Imports no Ray; time
is given where it counts.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from serve_apps.stream_memory import StreamMemory
from serve_apps.tail import Tail
from serve_apps.tail_set import TailSet
from wire.errors import IsthmusError, TailFailed
from wire.manifest import Option
from wire.messages import Frame, Reject, error_from

PERIOD_S: Final = 1.0
"""How often Serve asks a replica; it is told so."""
TIMEOUT_S: Final = 10.0
"""How long Serve waits for what a replica says; three in a row that come later, or say no, end the replica."""
PROBE_S: Final = 5.0
PATIENCE_S: Final = 30.0
"""A fault that lasts longer is not mended from inside: Triton starts and loads its models in less."""


FAILING: Final = "failing"
"""The state of a point that says it is ready, and answers no frame."""
PROOF_LASTS_S: Final = 2.0
PROOF_TIMEOUT_S: Final = 6.0

Prove = Callable[[str], Awaitable[None]]
"""Has some replica of a point answer a frame; raises what kept it from it."""

log = logging.getLogger("isthmus.health")


class Health:
    """The health of one replica, by real frames."""

    def __init__(self, tail: Tail | TailSet, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tail, self._clock = tail, clock
        self._ill_since_s: float | None = None

    async def check(self) -> None:
        """Do nothing while the replica is well, or may be mended yet.

        Raises:
            TailFailed: no frame could be answered for too long.
        """
        began_s = self._clock()
        try:
            await self.prove()
        except IsthmusError as error:
            if self._ill_since_s is None:
                self._ill_since_s = began_s
            ill_s = self._clock() - self._ill_since_s
            if ill_s >= PATIENCE_S:
                raise TailFailed(f"no frame was answered for {ill_s:.0f} s: {error.message}") from error
        else:
            self._ill_since_s = None

    async def prove(self) -> None:
        """Have answered a frame just now, or answer a blank one by every graph of the point.

        Raises:
            IsthmusError: one could not be.
        """
        if self._answered_lately():
            return
        try:
            async with asyncio.timeout(PROBE_S):
                for frame in self._frames():
                    answer = await self._tail.answer(frame, StreamMemory())
                    if isinstance(answer, Reject):
                        raise error_from(answer)
        except TimeoutError as error:
            raise TailFailed(f"a frame was not answered within {PROBE_S:.0f} s") from error

    def _answered_lately(self) -> bool:
        return self._clock() - self._tail.answered_at_s < PERIOD_S

    def _frames(self) -> list[Frame]:
        bundle, tail = self._tail.bundle, self._tail
        first: dict[str, Option] = {}
        for option in bundle.options_at(tail.point):
            if option.cluster_graph:
                first.setdefault(option.cluster_graph, option)
        frames = []
        for option in first.values():
            coding = bundle.coding(option)
            frames.append(
                Frame(frame_id=0, option_id=option.id, budget_s=PROBE_S, bitstream=coding.encode(coding.blank()))
            )
        return frames


class Proofs:
    """Whether points answer frames, asked at most every two seconds however many want to know."""

    def __init__(self, prove: Prove, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._prove, self._clock = prove, clock
        self._known: dict[str, tuple[float, bool]] = {}
        self._lock = asyncio.Lock()

    async def of(self, points: Sequence[str]) -> dict[str, bool]:
        """Tell of each point whether a frame was answered at it."""
        async with self._lock:
            old = [point for point in points if self._is_old(point)]
            for point, proven in zip(old, await asyncio.gather(*map(self._proven, old)), strict=True):
                self._known[point] = (self._clock(), proven)
            return {point: self._known[point][1] for point in points}

    def _is_old(self, point: str) -> bool:
        return point not in self._known or self._clock() - self._known[point][0] > PROOF_LASTS_S

    async def _proven(self, point: str) -> bool:
        try:
            async with asyncio.timeout(PROOF_TIMEOUT_S):
                await self._prove(point)
        except Exception as error:  # noqa: BLE001 - whatever keeps the frame from being answered is the finding
            log.warning("point.failing %s: %s", point, error)
            return False
        return True
