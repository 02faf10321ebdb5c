"""What the frozen backbone says of the training frames: features at a point, and logits.

Owns the two ways to have them, in memory or computed anew for every batch. The files are ``feature_cache``'s.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cluster.training.views import Views

BATCH: Final = 32


class FeatureSource(Protocol):
    """Rows of (features, logits), one for each training frame."""

    def __len__(self) -> int: ...

    def batches(self, rows: NDArray[np.int64], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features (n, *shape) and logits (n, classes), float32 on ``device``, in the order of ``rows``."""
        ...


@dataclass(frozen=True, slots=True)
class Features:
    """Features (rows, *shape) and logits (rows, classes) as float16, in memory or mapped from files."""

    features: Tensor
    logits: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def batches(self, rows: NDArray[np.int64], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Look rows up."""
        for start in range(0, len(rows), size):
            chosen = torch.from_numpy(rows[start : start + size]).to(self.features.device)
            yield _channels_last(self.features[chosen].to(device).float()), self.logits[chosen].to(device).float()

    def on_gpu(self, device: torch.device) -> "Features":
        """Move to a GPU if it has at least twice the memory free; reading rows from a disk would hold it up."""
        if device.type != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        wanted = self.features.nbytes + self.logits.nbytes
        return Features(self.features.to(device), self.logits.to(device)) if 2 * wanted < free else self


@dataclass(frozen=True, slots=True)
class LiveFeatures:
    """The backbone is run on the frames of every batch; nothing is kept."""

    views: Views
    head: nn.Module
    """From frames (n, height, width, 3) on: normalisation included."""
    tail: nn.Module

    def __len__(self) -> int:
        return len(self.views)

    def batches(self, rows: NDArray[np.int64], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Make the frames and run the backbone on them."""
        for frames in self.views.batches(rows, size):
            with torch.no_grad():
                features = self.head(torch.from_numpy(frames).to(device))
                logits = self.tail(features)
            yield _channels_last(features.float()), logits.float()


def spread_rows(rows: int, most: int) -> NDArray[np.int64]:
    """Choose at most so many of the first ``rows`` rows, evenly."""
    return np.linspace(0, rows - 1, min(most, rows)).astype(np.int64)


def sampled_features(
    views: Views, head: nn.Module, rows: NDArray[np.int64], device: torch.device, on_rows: Callable[[int], None]
) -> Tensor:
    """Compute and keep some rows' features (n, *shape), float32 on ``device``; ``head`` takes frames."""
    found = []
    for frames in views.batches(rows, BATCH):
        with torch.no_grad():
            found.append(head(torch.from_numpy(frames).to(device)).float())
        on_rows(len(frames))
    return torch.cat(found)


def _channels_last(features: Tensor) -> Tensor:
    return features.contiguous(memory_format=torch.channels_last) if features.dim() == 4 else features
