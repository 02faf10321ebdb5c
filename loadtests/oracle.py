"""What a planner could do at best: one that knows the link's whole script, and the best that never changes its mind.

Owns the exact time of an option on a known link. Decides nothing that an agent could: it looks into the future.
"""

from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from device_agent.option_table import OptionTable
from device_agent.policy import Policy
from device_agent.rules import Rules
from loadtests.frame_tables import FrameTables
from loadtests.link_clock import LinkClock
from loadtests.link_script import LinkScript
from loadtests.virtual_device import VirtualDevice
from loadtests.virtual_frame import VirtualFrame
from loadtests.virtual_run import run_policy

CANDIDATES: Final = 5
"""Of the fixed options, so many are run; the others are left out by a quick sum."""


class KnownLink:
    """Tells when a frame is answered by each option, on an unloaded cluster and a link whose script is known."""

    def __init__(self, tables: FrameTables, script: LinkScript) -> None:
        self._clock = LinkClock(script)
        self._frames = tables.frames
        self._device_s = (tables.own_s + tables.device_s).tolist()
        self._refine_s = tables.refine_s.tolist()
        self._far_s = (tables.cluster_s + tables.overhead_s).tolist()
        self._reply_bytes = tables.reply_bytes
        self._sent_bytes: list[list[list[float]]] = [
            [sizes[:looks].tolist() for sizes, looks in zip(*row, strict=True)]
            for row in zip(tables.sent_bytes, tables.looks, strict=True)
        ]

    def sent_bytes(self, row: int, frame: int) -> list[float]:
        """Give the bytes of each of the frame's looks; none where the device answers alone."""
        return self._sent_bytes[row][frame % self._frames]

    def least_s(self, row: int) -> float:
        """Give what a frame takes on a link that takes nothing."""
        return self._device_s[row] + (self._far_s[row] if self.sent_bytes(row, 0) else 0.0)

    def answered_s(self, row: int, frame: int, begun_s: float) -> float:
        """Give when a frame begun at ``begun_s`` is answered, with all its looks; infinite where it never is."""
        now_s = begun_s + self._device_s[row]
        for look, size_bytes in enumerate(self.sent_bytes(row, frame)):
            now_s += self._refine_s[row] if look else 0.0
            now_s = self._clock.delivered_s(size_bytes, now_s) + self._far_s[row]
            now_s = self._clock.delivered_s(self._reply_bytes, now_s)
        return now_s


def run_oracle(tables: FrameTables, script: LinkScript, device: VirtualDevice) -> tuple[VirtualFrame, ...]:
    """Answer every frame by the option that is soonest, of those within the same bound on the drop.

    A frame is begun when it is due and the one before is answered, as the agent's are. Since nothing overtakes on a
    link, sooner is never later for those that follow: no planner that takes all of a frame's looks answers any frame
    sooner.
    """
    known = KnownLink(tables, script)
    rows = sorted(rows_within(tables, device.rules), key=known.least_s)
    answers: list[VirtualFrame] = []
    free_s = -inf
    for frame in range(device.frames):
        due_s = device.begins_s + frame / device.fps
        begun_s = max(due_s, free_s)
        best, free_s = rows[0], inf
        for row in rows:
            if begun_s + known.least_s(row) >= free_s:
                break
            answered_s = known.answered_s(row, frame, begun_s)
            if answered_s < free_s:
                best, free_s = row, answered_s
        answers.append(_frame(tables, known, device, best, frame, (due_s, begun_s, free_s)))
    return tuple(answers)


def best_fixed(
    tables: FrameTables, script: LinkScript, device: VirtualDevice, *, seed: int = 0
) -> tuple[int, tuple[VirtualFrame, ...]]:
    """Give the row of the option that is best to keep on this link, and its answers: the least mean latency.

    The agent runs each of a few candidates, and answers alone where it would with a fixed policy; which ones says
    the mean over single frames, none of which is counted as later than the device's own answer after the deadline.
    """
    known, table = KnownLink(tables, script), OptionTable.of(tables.options)
    rows = rows_within(tables, device.rules)
    latest_s = device.rules.constraints.deadline_s + tables.own_s + float(tables.device_s[table.local])
    due_s = [device.begins_s + frame / device.fps for frame in range(device.frames)]
    means_s = {
        row: np.mean([min(known.answered_s(row, frame, due) - due, latest_s) for frame, due in enumerate(due_s)])
        for row in rows
    }
    runs: dict[int, tuple[VirtualFrame, ...]] = {}
    for row in sorted(rows, key=means_s.__getitem__)[:CANDIDATES]:
        option = tables.options[row]
        fixed = replace(device.rules, policy=Policy("fixed", option.point, option.rate))
        runs[row] = run_policy(tables, script, replace(device, rules=fixed), seed=seed)
    best = min(runs, key=lambda row: np.mean([answer.latency_s for answer in runs[row]]))
    return best, runs[best]


def rows_within(tables: FrameTables, rules: Rules) -> list[int]:
    """Give the rows of the options that lose no more than the rules allow, and of the device's own answer."""
    table = OptionTable.of(tables.options)
    return np.flatnonzero((table.drop <= rules.constraints.most_drop) | ~table.sends).tolist()


def _frame(
    tables: FrameTables,
    known: KnownLink,
    device: VirtualDevice,
    row: int,
    frame: int,
    times_s: tuple[float, float, float],
) -> VirtualFrame:
    due_s, begun_s, answered_s = times_s
    sizes_bytes = known.sent_bytes(row, frame)
    looks, sent_bytes = len(sizes_bytes), sum(sizes_bytes)
    moved_bytes = sent_bytes + looks * tables.reply_bytes
    device_s = float(tables.device_s[row] + max(looks - 1, 0) * tables.refine_s[row])
    far_s = looks * float(tables.cluster_s[row] + tables.overhead_s)
    link_s = answered_s - begun_s - tables.own_s - device_s - far_s
    return VirtualFrame(
        frame=frame,
        due_s=due_s,
        row=row,
        where="cluster" if looks else "device",
        fallback=None,
        latency_s=answered_s - due_s,
        predicted_s=answered_s - begun_s,
        looks=looks,
        sent_bytes=sent_bytes,
        moved_bytes=moved_bytes,
        energy_j=device.energy.frame_j(device_s, moved_bytes, link_s),
        in_time=answered_s - due_s <= device.rules.constraints.deadline_s,
    )
