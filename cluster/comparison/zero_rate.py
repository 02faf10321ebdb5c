"""How much of a feature map is zero: what JointDNN's PNG lives on.

Owns the two ways to count it, and the search for a point behind an activation. Codes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.backbone import Backbone, Normalise
from cluster.codecs.step_quantiser import StepQuantiser
from cluster.points import Cuts

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ZeroRate:
    """Shares, 0 to 1, at one point."""

    point: str
    features: float
    """Of values that are exactly zero."""
    symbols: float
    """Of 8-bit symbols that are the one which stands for zero."""
    activated: bool
    """No value is negative, as behind a ReLU."""


def zero_rates(backbone: Backbone, cuts: Cuts, points: Iterable[str], frames: Pixels) -> list[ZeroRate]:
    """Count zeros at some points on frames, uint8 (N, H, W, 3); the range of 8 bits is that of these frames."""
    return [_zero_rate(point, _features(backbone, cuts, point, frames)) for point in points]


def point_behind_activation(backbone: Backbone, cuts: Cuts, points: Iterable[str], frames: Pixels) -> str | None:
    """Give the first point behind the shallowest of ``points`` that lies behind an activation.

    None where one of ``points`` does so itself, or no other.
    """
    depths = [cuts.point(point).head_macs for point in points]
    if any(_activated(_features(backbone, cuts, point, frames)) for point in points):
        return None
    maps = [point for point in cuts.points if len(point.shape) == 3 and point.head_macs > min(depths)]
    for point in maps:
        if _activated(_features(backbone, cuts, point.name, frames)):
            return point.name
    return None


def _zero_rate(point: str, features: Tensor) -> ZeroRate:
    quantiser = StepQuantiser(8)
    quantiser.calibrate(features)
    zero = quantiser(torch.zeros(1, 1, 1, 1))
    return ZeroRate(
        point,
        features=float((features == 0).float().mean()),
        symbols=float((quantiser(features) == zero).float().mean()),
        activated=_activated(features),
    )


def _activated(features: Tensor) -> bool:
    return bool(features.min() >= 0)


def _features(backbone: Backbone, cuts: Cuts, point: str, frames: Pixels) -> Tensor:
    """Give features as maps (N, C, H, W), whatever their shape."""
    head = nn.Sequential(Normalise(backbone.frame), fuse(cuts.split(point)[0]))
    with torch.inference_mode():
        features: Tensor = head(torch.from_numpy(frames))
    return features if features.dim() == 4 else features.flatten(1)[:, :, None, None]
