"""Grids of trainings: every codec with every setting that it takes, at every point.

Owns the choice of the jobs and what is refused before the first one starts. Trains nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cluster.codecs.registry import build_codec
from cluster.codecs.weights import CodecKey
from cluster.points import Cuts
from cluster.training.plan import TrainingPlan
from cluster.training.recipe_registry import build_recipe
from wire.errors import SettingError


@dataclass(frozen=True, slots=True)
class GridJob:
    """One codec to train at one point."""

    key: CodecKey
    learns: bool
    """Whether it reads the features of all pictures; a codec that does not is calibrated on a few of them."""
    folder: str
    """The name of its run's folder, with the setting as the user wrote it."""

    def __str__(self) -> str:
        return str(self.key)


@dataclass(frozen=True, slots=True)
class Grid:
    """The jobs, each once, and the combinations that make no sense, each with the reason."""

    jobs: tuple[GridJob, ...]
    skipped: tuple[str, ...]

    @property
    def learned_points(self) -> tuple[str, ...]:
        """The points whose features some job needs."""
        return tuple(dict.fromkeys(job.key.point for job in self.jobs if job.learns))


def expand_grid(
    cuts: Cuts,
    backbone: str,
    plan: TrainingPlan,
    *,
    points: Sequence[str],
    codecs: Sequence[str],
    settings: Sequence[str],
) -> Grid:
    """Combine points, codecs and settings.

    A setting that a codec does not take is skipped for this codec. At every point each setting needs a codec that
    takes it, and each codec a setting. Settings that a codec reads alike are one job.

    Raises:
        UnknownPoint: the backbone has no such point.
        SettingError: no codec takes a setting at a point, or a codec takes none, or there is no such codec.
    """
    jobs: dict[CodecKey, GridJob] = {}
    skipped: list[str] = []
    for point in dict.fromkeys(points):
        found = dict(_tried(cuts, CodecKey(backbone, point, *pair), plan) for pair in _pairs(codecs, settings))
        _check_all_used(found, at=f"{point}: " if len(set(points)) > 1 else "")
        for key, outcome in found.items():
            if isinstance(outcome, SettingError):
                skipped.append(f"{key}: {outcome.message}")
            else:
                jobs.setdefault(outcome.key, outcome)
    return Grid(tuple(jobs.values()), tuple(skipped))


def _pairs(codecs: Iterable[str], settings: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((codec, setting) for codec in dict.fromkeys(codecs) for setting in dict.fromkeys(settings))


def _tried(cuts: Cuts, key: CodecKey, plan: TrainingPlan) -> tuple[CodecKey, GridJob | SettingError]:
    """Build what a key asks for, as its training will; the error where the codec refuses."""
    shape = cuts.point(key.point).shape
    try:
        codec = build_codec(key.codec, key.setting, shape)
    except SettingError as refused:
        return key, refused
    _, tail = cuts.split(key.point)
    learns = bool(build_recipe(codec, tail, plan).stages)
    folder = f"{key.point}.{key.codec}-{key.setting}"
    return key, GridJob(CodecKey(key.backbone, key.point, key.codec, str(codec.setting)), learns, folder)


def _check_all_used(found: dict[CodecKey, GridJob | SettingError], *, at: str) -> None:
    """Raise the refusal of a setting that no codec takes, or of a codec that takes no setting; ``at`` begins it."""
    settings = {key.setting for key, outcome in found.items() if isinstance(outcome, GridJob)}
    codecs = {key.codec for key, outcome in found.items() if isinstance(outcome, GridJob)}
    for key, outcome in found.items():
        if isinstance(outcome, SettingError) and (key.setting not in settings or key.codec not in codecs):
            raise SettingError(f"{at}{outcome.message}", mend=outcome.mend)
