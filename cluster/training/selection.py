"""The choice of a codec's setting at each point, from what was measured: BottleNet's Algorithm 1, training phase.

Eshratifar, Esmaili and Pedram (BottleNet, ISLPED 2019) train every (c′, s) at every partition point, and keep at each
point the one with the least bytes D among those whose loss of accuracy is acceptable. Owns that choice alone: latency
and energy under a network and a load are the planner's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.codecs.weights import CodecKey


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rate of a trained codec: its mean bytes a frame, and the top-1 it loses against the backbone (0 to 1)."""

    key: CodecKey
    rate: str
    bytes_mean: float
    top1_drop: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen at one point; None where nothing is within the bound.

    ``nearest`` is the candidate with the least drop; None where nothing was measured.
    """

    point: str
    chosen: Candidate | None
    nearest: Candidate | None


def choose_rates(points: Sequence[str], candidates: Iterable[Candidate], most_drop: float) -> list[Choice]:
    """Choose at each point the least bytes among the candidates that lose at most ``most_drop`` (0 to 1) of top-1.

    Of equal bytes the one that loses less is chosen.
    """
    at: dict[str, list[Candidate]] = {point: [] for point in points}
    for candidate in candidates:
        at[candidate.key.point].append(candidate)
    return [Choice(point, _least(found, most_drop), _nearest(found)) for point, found in at.items()]


def _least(candidates: Iterable[Candidate], most_drop: float) -> Candidate | None:
    within = (candidate for candidate in candidates if candidate.top1_drop <= most_drop)
    return min(within, key=lambda candidate: (candidate.bytes_mean, candidate.top1_drop), default=None)


def _nearest(candidates: Iterable[Candidate]) -> Candidate | None:
    return min(candidates, key=lambda candidate: (candidate.top1_drop, candidate.bytes_mean), default=None)
