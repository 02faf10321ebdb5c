"""VGG-16 and VGG-19 without batch normalisation (Simonyan and Zisserman, 2015), with torchvision's names and shapes.

Owns the networks' shapes. Knows nothing of weights, cuts or codecs.
"""

from typing import Final

from torch import Tensor, flatten, nn

VGG16_REPEATS: Final = (2, 2, 3, 3, 3)
VGG19_REPEATS: Final = (2, 2, 4, 4, 4)
STAGE_CHANNELS: Final = (64, 128, 256, 512, 512)
POOLED: Final = 7
"""The classifier sees this many pixels in height and width, whatever the picture's size."""


class VGG(nn.Module):
    """A VGG: (N, 3, H, W) float32, normalised, to logits (N, classes); ``hidden`` is the width of its classifier."""

    def __init__(self, repeats: tuple[int, ...], *, classes: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels, count in zip(STAGE_CHANNELS, repeats, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED)
        self.classifier = nn.Sequential(
            nn.Linear(inputs * POOLED**2, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def vgg16(classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """Build VGG-16 (configuration D) without weights."""
    return VGG(VGG16_REPEATS, classes=classes, hidden=hidden)


def vgg19(classes: int = 1000, *, hidden: int = 4096) -> VGG:
    """Build VGG-19 (configuration E) without weights."""
    return VGG(VGG19_REPEATS, classes=classes, hidden=hidden)
