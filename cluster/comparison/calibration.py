"""Calibration of codecs that have nothing to learn: those of one point look at the same features.

Owns the order. What is calibrated, and how, is the codecs' own, as in ``cluster.training.trainer``; there every codec
computes its features, which here would be most of the time.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.backbone import Backbone, Normalise
from cluster.codecs.registry import build_codec
from cluster.codecs.weights import CodecKey, round_as_stored, save_codec
from cluster.points import Cuts
from cluster.training.features import sampled_features
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe
from cluster.training.trainer import BATCH, calibration_rows
from cluster.training.views import Views

Listener = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much."""


def calibrate(
    backbone: Backbone,
    cuts: Cuts,
    keys: Iterable[CodecKey],
    *,
    pictures: Sequence[Path],
    weights: Path,
    listener: Listener,
) -> None:
    """Calibrate the codecs that are not below ``weights`` yet, on frames spread over ``pictures``.

    Raises:
        DataError: the pictures do not decode.
        CheckpointError: a file cannot be written.
    """
    wanted = [key for key in keys if not key.path(weights).is_file()]
    for point in dict.fromkeys(key.point for key in wanted):
        sample = _sample(backbone, cuts, point, pictures, listener)
        own = [key for key in wanted if key.point == point]
        for number, key in enumerate(own):
            listener(f"calibrate {key}", number, len(own))
            _calibrate(key, sample, weights)


def _sample(backbone: Backbone, cuts: Cuts, point: str, pictures: Sequence[Path], listener: Listener) -> Tensor:
    frame, plan = backbone.frame, TrainingPlan()
    views = Views(pictures, plan.views, plan.seed, height=frame.height, width=frame.width)
    rows = calibration_rows(len(views), Recipe.sample_rows, cuts.point(point).raw_bytes)
    head = nn.Sequential(Normalise(frame), fuse(cuts.split(point)[0]))
    done = 0

    def on_rows(more: int) -> None:
        nonlocal done
        done += more
        listener(f"features of {point}", done, len(rows))

    return sampled_features(views, head, rows, torch.device("cpu"), on_rows)


def _calibrate(key: CodecKey, sample: Tensor, weights: Path) -> None:
    codec = build_codec(key.codec, key.setting, tuple(sample.shape[1:]))
    recipe = Recipe(codec, nn.Identity(), TrainingPlan())
    recipe.begin(sample)
    round_as_stored(codec)
    codec.eval()
    save_codec(weights, key, codec, recipe.tables(torch.split(sample, BATCH)))
