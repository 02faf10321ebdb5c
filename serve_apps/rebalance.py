"""Which replicas should send agents away, and how many: pure functions of what each replica holds.

A WebSocket stays where it was opened, whatever replicas come. HAProxy gives a new one to the replica with the fewest
that it knows of, so whoever is asked to connect again most often lands elsewhere. Owns the numbers; sends nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

EVEN_WITHIN: Final = 0.2
"""Replicas that hold up to this share more streams than the mean are even: their agents come and go anyway."""
BUSIER_BY: Final = 0.25
"""So much busier than the mean, as a share of time, a replica is too busy for the streams that it has."""
SPREAD_S: Final = 20.0
"""Within about so long all that should move have moved."""
LEAST_PACE: Final = 2
REFRESH_WITHIN_S: Final = 60.0
"""HAProxy ends what it held before a change of the replicas after 120 s; until then every agent has connected again."""


@dataclass(frozen=True, slots=True)
class ReplicaStreams:
    """What one replica holds: its streams, and the share of time that it is busy."""

    streams: int
    busy: float


def moves(replicas: Mapping[str, ReplicaStreams]) -> dict[str, int]:
    """Give how many streams each replica should send away in the next second; replicas that need not are left out.

    Streams above the mean are sent; and of a replica that is busier than its streams explain, a stream or two, as long
    as another one holds fewer.
    """
    if len(replicas) < 2:
        return {}
    total = sum(replica.streams for replica in replicas.values())
    mean = total / len(replicas)
    busy = sum(replica.busy for replica in replicas.values()) / len(replicas)
    fewest = min(replica.streams for replica in replicas.values())
    pace = max(LEAST_PACE, math.ceil(total / SPREAD_S))
    wanted: dict[str, int] = {}
    for name, replica in replicas.items():
        excess = replica.streams - math.ceil(mean)
        if replica.streams > mean * (1 + EVEN_WITHIN) and excess > 0:
            wanted[name] = excess
        elif replica.busy > busy + BUSIER_BY and replica.streams > fewest + 1:
            wanted[name] = 1
    return _paced(wanted, pace)


def refresh(stale: int, *, since_s: float, every_s: float) -> int:
    """Give how many of the streams from before the last change of the replicas to send away now.

    ``stale`` are left, the change was ``since_s`` ago, and this is asked every ``every_s``; the last goes in time.
    """
    rounds = max(1.0, (REFRESH_WITHIN_S - since_s) / every_s)
    return math.ceil(stale / rounds)


def _paced(wanted: dict[str, int], pace: int) -> dict[str, int]:
    """Cut what is wanted to ``pace`` in all, in proportion, the largest first."""
    total = sum(wanted.values())
    if total <= pace:
        return wanted
    paced: dict[str, int] = {}
    left = pace
    for name, count in sorted(wanted.items(), key=lambda item: -item[1]):
        share = min(left, math.ceil(pace * count / total))
        if share:
            paced[name] = share
        left -= share
    return paced
