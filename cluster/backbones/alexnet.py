"""AlexNet in the form of "One weird trick" (Krizhevsky, 2014), with the names and shapes of torchvision's.

Owns the network's shape. Knows nothing of weights, cuts or codecs.
"""

from typing import Final

from torch import Tensor, flatten, nn

POOLED: Final = 6
"""The classifier sees this many pixels in height and width, whatever the picture's size."""


class AlexNet(nn.Module):
    """AlexNet: (N, 3, H, W) float32, normalised, to logits (N, classes); ``hidden`` is the width of its classifier."""

    def __init__(self, *, classes: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(POOLED)
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * POOLED**2, hidden), nn.ReLU(),
            nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        return self.classifier(flatten(self.avgpool(self.features(x)), 1))


def alexnet(classes: int = 1000, *, hidden: int = 4096) -> AlexNet:
    """Build AlexNet without weights."""
    return AlexNet(classes=classes, hidden=hidden)
