"""What a backbone is: a network, the frames that it takes, and the names of its classes.

Owns the records. Knows no network by name.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """What a backbone takes: shorter side scaled to ``resize``, centre crop, then ``(x − mean) / scale``.

    Lengths are in pixels; ``mean`` and ``scale`` are those of red, green and blue from 0 to 255.
    """

    height: int
    width: int
    resize: int
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


IMAGENET_FRAME: Final = FrameFormat(224, 224, 256, mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375))
"""What torchvision's networks were trained on: mean and deviation of ImageNet's pixels."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """The unmodified network that the user brings, in evaluation mode, with its labels; ``name`` names folders too."""

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
