"""One fault at a time on a cluster that a fleet uses: it strikes, is mended by us or by the cluster, and all is well.

Owns the order of an experiment, and what is kept of it. What a fault does is given.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from loadtests.fault_figures import BEFORE_S, WINDOW_S, FaultFigures, SeenFrame, all_served, fault_figures
from loadtests.fault_fleet import Fleet

SETTLED_S: Final = 5.0
"""All is well again once every agent was served for so long."""
LEAST_S: Final = 10.0
LOOK_S: Final = 0.5
CALM_TIMEOUT_S: Final = 60.0
CALM_MISSES: Final = 0.02
"""A machine that is cluster and agents at once has a frame come late now and then."""

Mark = Callable[[str], None]
"""Notes that something strikes right now, by its name."""


class Fault(Protocol):
    """One fault, and what the bench itself does about it."""

    @property
    def name(self) -> str:
        """One word or two, as on the command line."""

    @property
    def title(self) -> str:
        """What happens, in a few words."""

    @property
    def hold_s(self) -> float:
        """How long it lasts before ``mend``."""

    @property
    def limit_s(self) -> float:
        """How long it is watched at most."""

    async def prepare(self) -> None:
        """Bring about what there must be before it can strike."""

    async def strike(self, mark: Mark) -> None:
        """Strike, once or more often."""

    async def mend(self) -> None:
        """Undo what only we can undo: plug the cable in again, start the device again."""

    def detected_s(self) -> float | None:
        """When the cluster (or, of the link, an agent) was seen to act on it, on the Unix clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRun:
    """What came of one fault."""

    name: str
    title: str
    strikes: tuple[tuple[float, str], ...]
    """Unix times, and what struck."""
    mended_s: float | None
    """When the bench undid it, since the first strike; None where the cluster mends by itself."""
    detected_s: float | None
    """Since the first strike."""
    watched_s: float
    frames: tuple[SeenFrame, ...]
    """From a little before it on."""
    calm: bool
    """Whether all was well before it struck."""

    @property
    def struck_s(self) -> float:
        """When it struck first, on the Unix clock."""
        return self.strikes[0][0]

    @property
    def figures(self) -> FaultFigures:
        """What the agents saw."""
        return fault_figures(
            self.frames, struck_s=self.struck_s, last_s=self.strikes[-1][0], ended_s=self.struck_s + self.watched_s
        )

    @property
    def _hit(self) -> list[SeenFrame]:
        return [frame for frame in self.frames if frame.due_s >= self.struck_s]

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "strikes": [{"s": round(at_s - self.struck_s, 2), "what": what} for at_s, what in self.strikes],
            "mended_s": self.mended_s,
            "detected_s": None if self.detected_s is None else round(self.detected_s, 2),
            "watched_s": round(self.watched_s, 2),
            "calm_before": self.calm,
            **self.figures.as_plain(),
            "why_missed": dict(Counter(frame.fallback for frame in self._hit if frame.fallback is not None)),
            "missed_by": dict(Counter(frame.agent for frame in self._hit if frame.missed)),
        }


async def run_fault(fleet: Fleet, fault: Fault) -> FaultRun:
    """Wait until all is well, let the fault strike, and watch until all is well again or its limit is reached."""
    await fault.prepare()
    calm = await _calm(fleet)
    strikes: list[tuple[float, str]] = []
    await fault.strike(lambda what: strikes.append((time.time(), what)))
    struck_s, mended_s = strikes[0][0], None
    if fault.hold_s:
        await asyncio.sleep(fault.hold_s)
        await fault.mend()
        mended_s = round(time.time() - struck_s, 2)
    last_s = time.time() if mended_s is not None else strikes[-1][0]
    await _watch(fleet, fault, struck_s=struck_s, last_s=last_s)
    detected_s = fault.detected_s()
    return FaultRun(
        name=fault.name,
        title=fault.title,
        strikes=tuple(strikes),
        mended_s=mended_s,
        detected_s=None if detected_s is None else max(detected_s - struck_s, 0.0),
        watched_s=time.time() - struck_s,
        calm=calm,
        frames=tuple(frame for frame in fleet.frames if frame.due_s >= struck_s - 2 * BEFORE_S),
    )


async def _calm(fleet: Fleet) -> bool:
    """Wait until no agent misses the cluster, but a minute at most; tells whether it came to that."""
    until_s = time.monotonic() + CALM_TIMEOUT_S
    while time.monotonic() < until_s:
        await asyncio.sleep(LOOK_S)
        if _is_calm(fleet.frames, fleet.names):
            return True
    return False


def _is_calm(frames: Sequence[SeenFrame], agents: Sequence[str]) -> bool:
    now_s = time.time()
    recent = [frame for frame in frames if now_s - BEFORE_S - 1 <= frame.due_s]
    heard = {frame.agent for frame in recent}
    return heard == set(agents) and sum(frame.missed for frame in recent) <= CALM_MISSES * len(recent)


async def _watch(fleet: Fleet, fault: Fault, *, struck_s: float, last_s: float) -> None:
    while time.time() - last_s < fault.limit_s:
        await asyncio.sleep(LOOK_S)
        # The last frames may be unanswered yet.
        until_s = time.time() - WINDOW_S
        if until_s - last_s < LEAST_S:
            continue
        frames = [frame for frame in fleet.frames if frame.due_s >= struck_s - BEFORE_S]
        if all_served(frames, struck_s=struck_s, from_s=until_s - SETTLED_S, until_s=until_s):
            return
