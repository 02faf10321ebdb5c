"""What quantisation took, put back by a small convolutional network before the tail.

A linear decoder gives the best guess that one matrix can; features lie on no plane, and a network that has seen them
knows more. Its corrections are scaled by how coarse the rate was, so that one network serves all rates, and none where
hardly anything was taken. Owns the network. Knows nothing of transforms.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

BLOCKS = 3
KERNEL = 5


class Restorer(nn.Module):
    """Corrects features (N, C, H, W) by residual blocks of ``width`` channels; does nothing before it is trained."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(channels, width) for _ in range(BLOCKS))

    def forward(self, features: Tensor, coarseness: Tensor) -> Tensor:
        """Correct features; ``coarseness`` (N, 1, 1, 1) is the step of each frame's rate beside the coarsest, to 1."""
        for block in self.blocks:
            features = block(features, coarseness)
        return features


class _Block(nn.Module):
    """A mobile bottleneck (Sandler et al., 2018), told the coarseness by a channel of its own."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels + 1, width, 1)
        self.spread = nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.project = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, coarseness: Tensor) -> Tensor:
        plane = coarseness.expand(-1, 1, *features.shape[2:])
        found = F.hardswish(self.expand(torch.cat([features, plane], dim=1)))
        correction: Tensor = self.project(F.hardswish(self.spread(found)))
        return features + correction * coarseness
