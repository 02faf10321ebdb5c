"""The linear transform of features that is best for what the tail makes of them, in closed form.

An error δ of the features changes the backbone's answer by δᵀ G δ to second order, where G is the mean outer product
of the answer's gradients (the Fisher information). Scaled by the root of G, all errors count alike, and the
Karhunen-Loève transform of the scaled features is then the best linear one. It is taken apart into two steps of small
matrices: one over the places of a map, shared by all channels, whose coefficients we call waves; then one over the
channels, of its own for every group of waves, since slow and fast waves are mixed of different channels. Owns that
mathematics; knows neither codecs nor training.
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

PART: Final = 256
SHRINK_PLACES: Final = 0.02
SHRINK_CHANNELS: Final = 0.1
"""What is added to the diagonal of G, as a share of its mean: no direction is wholly without worth."""
COMMON: Final = 0.1
"""How much of the mean over all waves there is in the statistics of a group; its own sample is small."""
GROWTH: Final = 1.3
"""Each group of waves is so many times as large as the one before it; the first is the slowest wave alone."""


@dataclass(frozen=True, slots=True)
class Transform:
    """``analysis`` (..., n, n) makes coefficients of values, most important first; ``synthesis`` makes them values."""

    analysis: Tensor
    synthesis: Tensor


@dataclass(frozen=True, slots=True)
class TaskTransform:
    """The mean (C,) of feature maps, a transform of the places (H·W), and one of the channels (groups, C, C)."""

    mean: Tensor
    places: Transform
    channels: Transform

    def coefficients(self, maps: Tensor, kept: list[int]) -> Tensor:
        """Transform maps (N, C, H, W) to coefficients (N, C, waves), as ``analysed`` does."""
        waves = (maps - self.mean[:, None, None]).flatten(2) @ self.places.analysis.T
        return analysed(self.channels.analysis, waves, kept)


def wave_groups(waves: int) -> list[int]:
    """Give the size of each group of so many waves, slowest first."""
    sizes, size = list[int](), 1.0
    while sum(sizes) < waves:
        sizes.append(min(round(size), waves - sum(sizes)))
        size *= GROWTH
    return sizes


def analysed(matrices: Tensor, waves: Tensor, kept: list[int]) -> Tensor:
    """Multiply waves (N, C, waves) by their group's matrix, of ``matrices`` (groups, C, C).

    Of every group's coefficients only the first ``kept`` are computed; the others are 0.
    """
    channels = waves.shape[1]
    parts = zip(matrices, torch.split(waves, wave_groups(waves.shape[2]), dim=2), kept, strict=True)
    return torch.cat([F.pad(matrix[:most] @ part, (0, 0, 0, channels - most)) for matrix, part, most in parts], dim=2)


def synthesised(matrices: Tensor, coefficients: Tensor, kept: list[int]) -> Tensor:
    """Undo ``analysed`` with the inverse matrices."""
    parts = zip(matrices, torch.split(coefficients, wave_groups(coefficients.shape[2]), dim=2), kept, strict=True)
    return torch.cat([matrix[:, :most] @ part[:, :most] for matrix, part, most in parts], dim=2)


def task_transform(features: Tensor, gradients: Tensor) -> TaskTransform:
    """Find the transform for ``features`` (N, C, H, W) and gradients of the answer by them (M, C, H, W)."""
    mean = features.mean(dim=(0, 2, 3))
    centred, slopes = (features - mean[:, None, None]).flatten(2), gradients.flatten(2)
    places = _places(centred, slopes)
    # A gradient by a coefficient: the chain rule through the synthesis.
    made = slopes @ places.synthesis, centred @ places.analysis.T
    worth, covariance = (_grouped(_outer(maps, "mcp,mdp->pcd")) for maps in made)
    return TaskTransform(mean, places, _weighted_klt(worth, covariance, SHRINK_CHANNELS))


def _places(centred: Tensor, slopes: Tensor) -> Transform:
    """Find the transform of places, in which the channels count by what the answer depends on."""
    worth, covariance = (_outer(maps, "mcp,mdp->cd")[None] for maps in (slopes, centred))
    mixed = _weighted_klt(worth, covariance, SHRINK_PLACES)
    analysis, synthesis = mixed.analysis[0], mixed.synthesis[0]
    worth, covariance = (
        _outer(maps, "mcp,mcq->pq")[None] / len(analysis) for maps in (synthesis.T @ slopes, analysis @ centred)
    )
    found = _weighted_klt(worth, covariance, SHRINK_PLACES)
    return Transform(found.analysis[0], found.synthesis[0])


def _outer(maps: Tensor, equation: str) -> Tensor:
    """Give the mean over the maps of their outer products that the equation names."""
    parts = torch.split(maps, PART)
    total = torch.einsum(equation, parts[0], parts[0])
    for part in parts[1:]:
        total += torch.einsum(equation, part, part)
    return total / len(maps)


def _grouped(statistics: Tensor) -> Tensor:
    """Average the matrices (waves, C, C) of each group, with something of what all waves have in common."""
    common = statistics.mean(dim=0)
    common = common / common.diagonal().mean().clamp(min=1e-30)
    groups = torch.stack([part.mean(dim=0) for part in torch.split(statistics, wave_groups(len(statistics)))])
    size = groups.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    return (1 - COMMON) * groups + COMMON * size * common


def _weighted_klt(worth: Tensor, covariance: Tensor, shrink: float) -> Transform:
    """Find the transforms for matrices (groups, n, n); what a group is worth beside the others counts too."""
    mean = worth.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-30)
    values, vectors = torch.linalg.eigh(worth / mean + shrink * torch.eye(worth.shape[1], device=worth.device))
    values = values.clamp(min=1e-9)[:, None, :]
    root, inverse = ((vectors * values.pow(power)) @ vectors.mT for power in (0.5, -0.5))
    _, basis = torch.linalg.eigh(root @ covariance @ root)
    basis = basis.flip(2)
    return Transform(basis.mT @ root, inverse @ basis)
