"""Training of one codec at one point, from a folder of pictures to a weights file; no label is needed.

Owns the order: what does not exist or does not fit is refused first, then come features, the recipe's stages, the
coder's tables and the file. A codec that has nothing to learn is calibrated on a sample instead.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.backbone import Backbone, Normalise
from cluster.codecs.registry import build_codec
from cluster.codecs.weights import CodecKey, round_as_stored, save_codec
from cluster.points import Cuts
from cluster.training.checkpoint import load_checkpoint
from cluster.training.feature_cache import FeatureCache
from cluster.training.features import FeatureSource, LiveFeatures, sampled_features, spread_rows
from cluster.training.loop import TrainingLoop
from cluster.training.plan import TrainingPlan
from cluster.training.progress import Listener, Progress
from cluster.training.recipe import Recipe
from cluster.training.recipe_registry import build_recipe
from cluster.training.views import Views

HELD_OUT: Final = 16
"""One picture in this many is kept from training, for the agreement that the progress bar shows."""
TABLE_ROWS: Final = 1024
SAMPLE_BYTES: Final = 2**28
TRAINING_SAMPLE_BYTES: Final = 2**30
"""More than a calibration may take: a training, which goes on from there, is worth more."""
BATCH: Final = 64

Tables = dict[str, NDArray[np.uint16]]


@dataclass(frozen=True, slots=True)
class TrainingFolders:
    """Where a training keeps its state, where all of a backbone's keep their features, and where weights go."""

    run: Path
    features: Path
    weights: Path


def train_codec(
    backbone: Backbone,
    key: CodecKey,
    plan: TrainingPlan,
    *,
    pictures: list[Path],
    folders: TrainingFolders,
    device: torch.device,
    listener: Listener,
    recompute: bool = False,
    more_points: Sequence[str] = (),
) -> Path:
    """Train one codec and write its weights and tables; a run that was stopped goes on from its last checkpoint.

    With ``recompute``, or where the disk has no room for them, features are computed for every batch and not kept.
    Otherwise those of ``more_points`` are computed in the same pass, for other trainings.

    Raises:
        UnknownPoint, SettingError, DataError: what was asked for does not exist or does not fit.
        CheckpointError: the run folder holds another run, or a file cannot be written.
    """
    torch.manual_seed(plan.seed)
    cuts = Cuts(backbone.module, backbone.example())
    codec = build_codec(key.codec, key.setting, cuts.point(key.point).shape)
    key = replace(key, setting=str(codec.setting))  # one name a codec, where a setting can be written in two ways
    codec.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types miss this one
    head, tail = (_frozen(half, device) for half in cuts.split(key.point))
    frame = backbone.frame
    views = Views(pictures, plan.views, plan.seed, height=frame.height, width=frame.width)
    live = LiveFeatures(views, nn.Sequential(Normalise(frame).to(device), head), tail)
    training = _Training(key, build_recipe(codec, tail, plan), live, cuts, folders, device, listener)
    if training.recipe.stages:
        cache = None if recompute else FeatureCache(folders.features, backbone, cuts, views)
        tables = training.learn(cache, (key.point, *more_points))
    else:
        tables = training.calibrate()
    return save_codec(folders.weights, key, codec.cpu(), tables)


def calibration_rows(count: int, sample_rows: int, raw_bytes: int, most_bytes: int = SAMPLE_BYTES) -> NDArray[np.int64]:
    """Give the rows, of ``count``, to begin with: ``sample_rows``, or what ``most_bytes`` hold of ``raw_bytes``."""
    return spread_rows(count, min(sample_rows, max(1, most_bytes // raw_bytes)))


def split_rows(pictures: int, views: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows to train on, and those held out: the first view of some pictures, whose other views are left out.

    A single picture is all trained on, and held out too.
    """
    index = np.arange(pictures * views) % pictures
    held = index % HELD_OUT == 0
    trained = np.flatnonzero(~held) if pictures > 1 else np.arange(views)
    return trained, np.flatnonzero(held[:pictures])


@dataclass(frozen=True, slots=True)
class _Training:
    key: CodecKey
    recipe: Recipe
    live: LiveFeatures
    cuts: Cuts
    folders: TrainingFolders
    device: torch.device
    listener: Listener

    def learn(self, cache: FeatureCache | None, points: Sequence[str]) -> Tables:
        """Go through the recipe's stages, and count symbols with what came of it; the first point is ours."""
        identity = _identity(self.key, self.recipe.plan, self.live.views.pictures)
        # Before anything is computed, so that a folder of another run is refused at once.
        state = load_checkpoint(self.folders.run, identity, self.device)
        source: FeatureSource = self.live
        if cache is not None and cache.fits(points):
            cached = cache.features(points, self.device, self._rows_told(len(self.live)))
            source = cached[0].on_gpu(self.device)
        trained, held_out = split_rows(len(self.live.views.pictures), self.live.views.views)
        raw_bytes = self.cuts.point(self.key.point).raw_bytes
        seen = calibration_rows(len(trained), self.recipe.sample_rows, raw_bytes, TRAINING_SAMPLE_BYTES)
        TrainingLoop(
            self.recipe, source, trained, held_out, trained[seen],
            folder=self.folders.run, identity=identity, device=self.device, listener=self.listener,
        ).run(state)  # fmt: skip
        rows = spread_rows(len(source), max(TABLE_ROWS, self.recipe.sample_rows))
        return self._tables(features for features, _ in source.batches(rows, BATCH, self.device))

    def calibrate(self) -> Tables:
        """Look at the features of a few frames, spread over the pictures, and count their symbols."""
        rows = calibration_rows(
            len(self.live.views), self.recipe.sample_rows, self.cuts.point(self.key.point).raw_bytes
        )
        sample = sampled_features(self.live.views, self.live.head, rows, self.device, self._rows_told(len(rows)))
        self.recipe.begin(sample)
        return self._tables(torch.split(sample, BATCH))

    def _tables(self, batches: Iterable[Tensor]) -> Tables:
        round_as_stored(self.recipe.codec)
        self.recipe.codec.eval()
        return self.recipe.tables(batches)

    def _rows_told(self, total: int) -> Callable[[int], None]:
        done = 0

        def on_rows(more: int) -> None:
            nonlocal done
            done += more
            self.listener(Progress("features", done, total))

        return on_rows


def _identity(key: CodecKey, plan: TrainingPlan, pictures: Sequence[Path]) -> str:
    """Say what a run is, so that its state is not taken for another's."""
    files = sha256("\n".join(map(str, pictures)).encode()).hexdigest()
    return json.dumps({"key": asdict(key), "plan": asdict(plan), "pictures": files}, sort_keys=True)


def _frozen(half: nn.Module, device: torch.device) -> nn.Module:
    frozen = fuse(half).requires_grad_(requires_grad=False)
    frozen.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types miss this one
    return frozen
