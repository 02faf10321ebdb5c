"""How soon a policy is back on the best option after the link's rate fell: many falls in virtual time.

Owns what counts as back. The tables' frames follow each other in the same order, so falls differ by where they meet the
clip, by when in a frame's period they come, and by the jitter of the link. Where the clip stands still, every fall has
one frame of it and no other: then nothing but the link changes what is best.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from device_agent.option_table import Flags, Floats
from loadtests.adapt_scenario import WARM_S, AdaptScenario
from loadtests.adapt_virtual import virtual_device
from loadtests.frame_tables import FrameTables
from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.oracle import KnownLink, rows_within
from loadtests.virtual_agent import VirtualFrame
from loadtests.virtual_run import run_policy

FALLS_MBPS: Final = ((10.0, 1.0), (3.0, 0.3))
WITHIN_FRAMES: Final = 3
NEARLY: Final = 1.10
"""For a frame an option is as good as the best one if it takes at most so many times as long."""
STAYS_FRAMES: Final = 3
"""It is back from the first of so many frames on that are all of such options."""
WATCHED_FRAMES: Final = 25
JITTER_S: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Falls:
    """What came of falls from one rate to another; where it was never back, the count is ``WATCHED_FRAMES``.

    1 means that the first frame after the fall was right already.
    """

    policy: str
    from_mbps: float
    to_mbps: float
    still: bool
    """Whether the clip stood still."""
    best: tuple[str, ...]
    """The options, as POINT/RATE, that are best after the fall, or nearly, by the mean over the clip."""
    frames: tuple[int, ...]
    """From the fall on, by fall."""

    @property
    def within_share(self) -> float:
        """Of the falls that it was back from within ``WITHIN_FRAMES``."""
        return sum(count <= WITHIN_FRAMES for count in self.frames) / len(self.frames)

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return asdict(self) | {"within_share": self.within_share}


def fall(
    tables: FrameTables,
    scenario: AdaptScenario,
    rates_mbps: tuple[float, float],
    *,
    policy: str = "auto",
    still: bool = False,
    count: int = 50,
    radio: str = "4g",
) -> Falls:
    """Let the link fall ``count`` times, each in a run of its own; ``policy`` is spelled as the agent does.

    With ``still`` each run has a frame of its own, and no other.
    """
    before, after = (LinkState(rate, scenario.delay_s, JITTER_S) for rate in rates_mbps)
    frames_s = steady_frames_s(tables, after)
    good = frames_s <= NEARLY * frames_s[rows_within(tables, scenario.rules("auto"))].min(axis=0)
    counts = []
    for seed in range(count):
        frame = seed % tables.frames
        shown, as_good = (tables.still(frame), good[:, [frame]]) if still else (tables, good)
        # The golden ratio spreads the moments evenly over a frame's period, and whole frames over the clip.
        falls_s = WARM_S + (seed + (seed * 0.618) % 1.0) / scenario.fps
        script = LinkScript((Step(0.0, before), Step(falls_s, after)))
        seconds = falls_s + (WATCHED_FRAMES + STAYS_FRAMES) / scenario.fps
        device = virtual_device(scenario, policy, radio=radio, seconds=seconds, name=f"fall-{seed}")
        counts.append(_frames_until(run_policy(shown, script, device, seed=seed), falls_s, as_good))
    best = sorted(best_after(tables, scenario, after))
    names = tuple(f"{tables.options[row].point}/{tables.options[row].rate}" for row in best)
    return Falls(
        policy=policy, from_mbps=rates_mbps[0], to_mbps=rates_mbps[1], still=still, best=names, frames=tuple(counts)
    )


def best_after(tables: FrameTables, scenario: AdaptScenario, state: LinkState) -> frozenset[int]:
    """Give the rows of the options that are best on a constant link, by the mean over the clip, or nearly."""
    means_s = steady_s(tables, state)
    rows = rows_within(tables, scenario.rules("auto"))
    least_s = min(means_s[row] for row in rows)
    return frozenset(row for row in rows if means_s[row] <= NEARLY * least_s)


def steady_s(tables: FrameTables, state: LinkState) -> Floats:
    """Give what a frame takes by each option on a constant link, as the mean over the clip; (options,), in seconds."""
    return steady_frames_s(tables, state).mean(axis=1)


def steady_frames_s(tables: FrameTables, state: LinkState) -> Floats:
    """Give what each frame of the clip takes by each option on a constant link; (options, frames), in seconds."""
    known = KnownLink(tables, LinkScript((Step(0.0, replace(state, jitter_s=0.0)),)))
    rows, frames = range(len(tables.options)), range(tables.frames)
    return np.array([[known.answered_s(row, frame, 0.0) for frame in frames] for row in rows])


def _frames_until(frames: Sequence[VirtualFrame], falls_s: float, good: Flags) -> int:
    after = [good[frame.row, frame.frame % good.shape[1]] for frame in frames if frame.due_s >= falls_s]
    for number in range(WATCHED_FRAMES - 1):
        if all(after[number : number + STAYS_FRAMES]):
            return number + 1
    return WATCHED_FRAMES
