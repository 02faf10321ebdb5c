"""MobileNetV2 (Sandler et al., 2018), with the names and shapes of torchvision's, so that its checkpoints fit.

Owns the network's shape. Knows nothing of weights, cuts or codecs.
"""

from typing import Final

from torch import Tensor, nn

STAGES: Final = (
    # expansion, output channels, repeats, stride (Sandler et al., table 2)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS: Final = 32
HEAD_CHANNELS: Final = 1280


def _filter(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolve, normalise, clip."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand (1×1), filter (depthwise 3×3), project (1×1); add the input where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.conv = nn.Sequential(
            *([_filter(inputs, hidden, 1)] if expansion != 1 else []),
            _filter(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2: (N, 3, H, W) float32, normalised, to logits (N, classes)."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_filter(3, STEM_CHANNELS, 3, 2)]
        inputs = STEM_CHANNELS
        for expansion, outputs, repeats, stride in STAGES:
            for repeat in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        layers.append(_filter(inputs, HEAD_CHANNELS, 1))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(HEAD_CHANNELS, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        return self.classifier(self.flatten(self.pool(self.features(x))))


def mobilenet_v2(classes: int = 1000) -> MobileNetV2:
    """Build MobileNetV2 without weights."""
    return MobileNetV2(classes=classes)
