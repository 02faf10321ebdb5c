"""How a cluster graph is best run, out of its measured profile: the size of its batches, and how many at a time.

Owns the choice. Pure: what batches take was measured by ``isthmus profile cluster``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cluster.profiling.option_profile import GraphSeconds, OptionProfile
from wire.bundle import Bundle
from wire.errors import SettingError

DEFAULT_MAX_BATCH: Final = 16
LONGEST_BATCH_S: Final = 0.1
"""No batch takes longer: a frame that comes just after one began waits for all of it."""
LEAST_GAIN: Final = 0.05
"""A larger batch must bring so much more a second; it makes all its frames wait for each other."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The frames of the largest batch, how many batches at a time, and the sizes worth forming."""

    max_batch: int = DEFAULT_MAX_BATCH
    instances: int = 1
    preferred: tuple[int, ...] = ()

    def within(self, max_batch: int) -> "Tuning":
        """Give the same with no batch larger than so many frames."""
        preferred = tuple(size for size in self.preferred if size <= max_batch)
        return Tuning(min(self.max_batch, max_batch), self.instances, preferred)


def tune(times: Sequence[GraphSeconds], *, cores: int, threads: int) -> Tuning:
    """Choose for one graph, by what batches of several sizes take on ``threads`` of a machine's ``cores``.

    The largest batch is the smallest that comes within ``LEAST_GAIN`` of the best rate, of those that take no longer
    than ``LONGEST_BATCH_S`` (the smallest measured, if all do). Several instances are worth it where a larger batch
    brings nothing, since one that is computed leaves the other cores idle; where it brings something, cores are better
    left to the other points of the machine.
    """
    if not times:
        return Tuning()
    measured = sorted(times, key=lambda each: each.batch)
    quick = [each for each in measured if each.seconds <= LONGEST_BATCH_S] or measured[:1]
    best = max(map(_rate, quick))
    chosen = next(each for each in quick if _rate(each) >= (1 - LEAST_GAIN) * best)
    preferred = tuple(each.batch for each in quick if each.batch <= chosen.batch and each.batch > 1)
    scales = _rate(chosen) >= (1 + LEAST_GAIN) * _rate(measured[0])
    return Tuning(chosen.batch, 1 if scales else max(1, cores // threads), preferred)


def tunings(profile: OptionProfile, bundle: Bundle, *, cores: int) -> dict[str, Tuning]:
    """Choose for every cluster graph of a bundle, by its name.

    Raises:
        SettingError: the profile is of the other side or of another bundle, or stands for another machine.
    """
    mend = "measure it on this machine: isthmus profile cluster BUNDLE"
    if profile.side != "cluster" or profile.emulated is not None:
        raise SettingError(f"this is a profile of {profile.label} as a {profile.side}", mend=mend)
    if profile.bundle != bundle.digest:
        raise SettingError(f"the profile is of bundle {profile.bundle[:12]}, not {bundle.digest[:12]}", mend=mend)
    return {
        row.graph: tune(row.batches, cores=cores, threads=profile.threads)
        for row in profile.rows
        if row.graph is not None
    }


def _rate(times: GraphSeconds) -> float:
    """Give the frames a second that batches of this size come to."""
    return times.batch / times.seconds if times.seconds > 0 else float("inf")
