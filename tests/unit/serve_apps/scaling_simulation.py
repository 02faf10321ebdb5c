"""A point in virtual time under a load curve, scaled by the policy under test; no tests here.

Replicas take frames from one queue, each so many a second; a replica takes a while to start, and the load that it
reports is averaged as a real one's is.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from serve_apps.scaling import ReplicaLoad, ScalingState, decide

CURVES = Path(__file__).parent / "load_curves"
TICK_S = 0.5
FRAMES_S = 100.0
"""What one replica can answer in a second."""
START_S = 4.0
MOST_WAIT_S = 1.0
"""A frame that would wait longer is refused."""
REPORT_S = 2.0
"""Over about so long reports are averaged."""


@dataclass
class Outcome:
    """What came of one curve."""

    targets: list[int] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)
    frames: float = 0.0
    refused: float = 0.0
    late: float = 0.0
    """Frames that waited longer than the target of the queueing delay."""
    replica_s: float = 0.0

    @property
    def swings(self):
        """How often the number went up within half a minute after it went down: flapping."""
        return sum(
            later > now > 0 and when - then < 30.0
            for (_, before), (then, now), (when, later) in zip(
                [(0.0, self.targets[0]), *self.changes], self.changes, self.changes[1:], strict=False
            )
            if now < before
        )


def curve(name):
    with (CURVES / f"{name}.csv").open() as file:
        return [float(row["frames"]) for row in csv.DictReader(file)]


def play(rates, config, *, first=None):
    """Play a curve of frames in each second."""
    out, state = Outcome(), ScalingState()
    target = running = config.first if first is None else first
    starting, waiting, idle_s = [], 0.0, 0.0
    busy = worked = arrived_s = answered_s = 0.0
    share = TICK_S / REPORT_S
    for tick in range(int(len(rates) / TICK_S)):
        now_s = tick * TICK_S
        starting = [ready_s for ready_s in starting if ready_s > now_s or (running := running + 1) is None]
        came = rates[int(now_s)] * TICK_S
        can = running * FRAMES_S * TICK_S
        answered = min(came + waiting, can)
        waiting += came - answered
        refused = max(0.0, waiting - running * FRAMES_S * MOST_WAIT_S)
        waiting -= refused
        wait_s = waiting / (running * FRAMES_S) if running else 0.0
        out.frames, out.refused = out.frames + came, out.refused + refused
        out.late += came if wait_s > config.queue_ms / 1e3 else 0.0
        out.replica_s += (running + len(starting)) * TICK_S
        idle_s = 0.0 if came else idle_s + TICK_S
        worked += answered / can if can else 0.0
        if (tick + 1) % int(REPORT_S / TICK_S) == 0:  # as a replica tells it: of the last whole window
            busy, worked = worked / (REPORT_S / TICK_S), 0.0
        queue_s = wait_s  # what a frame that comes now would wait is no average
        arrived_s += share * (came / TICK_S - arrived_s)
        answered_s += share * (answered / TICK_S - answered_s)
        each = max(running, 1)
        loads = [ReplicaLoad(busy, queue_s, arrived_s / each, answered_s / each, 5, idle_s)] * running
        if target == 0 and came:
            target, state = 1, ScalingState()  # Serve itself wakes a point that a request waits for
            starting.append(now_s + START_S)
            out.changes.append((now_s, target))
        asked_s = now_s + 0.013 * (tick % 7)  # nobody asks at even times
        wanted, state = decide(state, loads, running=running, target=target, config=config, now_s=asked_s)
        if wanted != target:
            out.changes.append((now_s, wanted))
            starting += [now_s + START_S] * max(0, wanted - target)
            running = min(running, wanted)
            starting = starting[: max(0, wanted - running)]
            target = wanted
        out.targets.append(target)
    return out
