"""ResNet (He et al., 2016), with the names and shapes of torchvision's, so that its checkpoints fit.

Owns the networks' shapes. Knows nothing of weights, cuts or codecs.
"""

from typing import Final

from torch import Tensor, flatten, nn

STAGE_CHANNELS: Final = (64, 128, 256, 512)


def _conv_3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut around them."""

    widening = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv_3x3(inputs, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv_3x3(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, channels, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Narrow (1×1), filter (3×3, which carries the stride), widen fourfold (1×1), and a shortcut around them."""

    widening = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = channels * self.widening
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv_3x3(channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, 4 · channels, H/stride, W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Make what brings a block's input to the shape of its output; ``None`` where it has that already."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """A ResNet: (N, 3, H, W) float32, normalised, to logits (N, classes)."""

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], repeats: tuple[int, int, int, int], *, classes: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STAGE_CHANNELS[0], 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGE_CHANNELS[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        widths = [STAGE_CHANNELS[0], *(channels * block.widening for channels in STAGE_CHANNELS)]
        self.layer1 = _stage(block, widths[0], STAGE_CHANNELS[0], repeats[0], stride=1)
        self.layer2 = _stage(block, widths[1], STAGE_CHANNELS[1], repeats[1], stride=2)
        self.layer3 = _stage(block, widths[2], STAGE_CHANNELS[2], repeats[2], stride=2)
        self.layer4 = _stage(block, widths[3], STAGE_CHANNELS[3], repeats[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[4], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(flatten(self.avgpool(x), 1))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, channels: int, repeats: int, *, stride: int
) -> nn.Sequential:
    """Chain the blocks of one resolution, of which the first changes it."""
    outputs = channels * block.widening
    return nn.Sequential(block(inputs, channels, stride), *(block(outputs, channels, 1) for _ in range(1, repeats)))


def resnet18(classes: int = 1000) -> ResNet:
    """Build ResNet-18 without weights."""
    return ResNet(BasicBlock, (2, 2, 2, 2), classes=classes)


def resnet50(classes: int = 1000) -> ResNet:
    """Build ResNet-50 without weights; the stride is in the 3×3 convolution, as in torchvision."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes=classes)


def resnet101(classes: int = 1000) -> ResNet:
    """Build ResNet-101 without weights."""
    return ResNet(Bottleneck, (3, 4, 23, 3), classes=classes)
