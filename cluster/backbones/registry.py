"""The backbones that Isthmus knows by name, and what a frame must be for each.

Owns the names. Knows nothing of cuts or codecs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import torch
from torch import Tensor, nn

from cluster.backbones.efficientnet_lite import efficientnet_lite0
from wire.errors import BackboneError


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What a backbone takes: shorter side scaled to ``resize``, centre crop, then ``(x − mean) / scale``."""

    height: int
    width: int
    resize: int
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Backbone:
    """The unmodified network that the user brings, in evaluation mode, with its labels."""

    name: str
    module: nn.Module
    frame: FrameFormat
    labels: tuple[str, ...]

    def example(self, batch: int = 1) -> Tensor:
        """Return normalised zeros of shape (batch, 3, height, width), float32."""
        return torch.zeros(batch, 3, self.frame.height, self.frame.width)


class Normalise(nn.Module):
    """Turn uint8 RGB of shape (N, H, W, 3) into what the backbone takes: float32 (N, 3, H, W)."""

    def __init__(self, frame: FrameFormat) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(frame.mean).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(frame.scale).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise a batch of frames."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.scale


def imagenet_labels() -> tuple[str, ...]:
    """Return the 1000 names of ImageNet-1k in the order of the classes."""
    text = files("cluster.backbones").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def load_backbone(name: str) -> Backbone:
    """Build a backbone with its weights.

    Raises:
        BackboneError: no backbone has this name.
        CheckpointError: its weights are missing or do not fit.
    """
    try:
        build = _BACKBONES[name]
    except KeyError:
        raise BackboneError(f"no backbone is called {name!r}", mend=f"one of: {', '.join(_BACKBONES)}") from None
    return build()


def _efficientnet_lite0() -> Backbone:
    frame = FrameFormat(224, 224, 256, mean=(127.0,) * 3, scale=(128.0,) * 3)
    return Backbone("efficientnet-lite0", efficientnet_lite0(), frame, imagenet_labels())


_BACKBONES: Final[dict[str, Callable[[], Backbone]]] = {"efficientnet-lite0": _efficientnet_lite0}
BACKBONE_NAMES: Final = tuple(_BACKBONES)
