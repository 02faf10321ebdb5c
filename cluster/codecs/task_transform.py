"""The linear transform of features that is best for what the tail makes of them, in closed form.

An error δ of the features changes the backbone's answer by δᵀ G δ to second order, where G is the mean outer product
of the answer's gradients (the Fisher information). Scaled by the root of G, all errors count alike, and the
Karhunen-Loève transform of the scaled features is then the best linear one. G and the covariance are taken apart into
channels and places (a Kronecker product), so that the transform of a feature map is two small matrices. Owns that
mathematics; knows neither codecs nor training.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

PART: Final = 256
SHRINK: Final = 0.02
"""What is added to the diagonal of G, as a share of its mean: no direction is wholly without worth."""


@dataclass(frozen=True, slots=True)
class Transform:
    """``analysis`` (n, n) makes coefficients of values, their most important first; ``synthesis`` makes them values."""

    analysis: Tensor
    synthesis: Tensor


@dataclass(frozen=True, slots=True)
class TaskTransform:
    """A transform of the channels (C) and one of the places (H·W) of feature maps, and their mean (C,)."""

    mean: Tensor
    channels: Transform
    places: Transform


def task_transform(features: Tensor, gradients: Tensor) -> TaskTransform:
    """Find the transform for ``features`` (N, C, H, W) and gradients of the answer by them (M, C, H, W)."""
    mean = features.mean(dim=(0, 2, 3))
    centred = (features - mean[:, None, None]).flatten(2)
    slopes = gradients.flatten(2)
    worth = _outer(slopes, "mcp,mdp->cd")
    channels = _weighted_klt(worth, _outer(centred, "mcp,mdp->cd"))
    coefficients = channels.analysis @ centred
    # A gradient by a coefficient: the chain rule through the synthesis.
    coefficient_slopes = channels.synthesis.T @ slopes
    places = _weighted_klt(
        _outer(coefficient_slopes, "mcp,mcq->pq"), _outer(coefficients, "mcp,mcq->pq") / len(channels.analysis)
    )
    return TaskTransform(mean, channels, places)


def _outer(maps: Tensor, equation: str) -> Tensor:
    """Give the mean over the maps of their outer product, summed over the axis that the equation leaves out."""
    parts = torch.split(maps, PART)
    total = torch.einsum(equation, parts[0], parts[0])
    for part in parts[1:]:
        total += torch.einsum(equation, part, part)
    return total / len(maps)


def _weighted_klt(worth: Tensor, covariance: Tensor) -> Transform:
    size = len(worth)
    worth = worth / worth.diagonal().mean().clamp(min=1e-30) + SHRINK * torch.eye(size)
    values, vectors = torch.linalg.eigh(worth)
    values = values.clamp(min=1e-9)
    root, inverse = ((vectors * values.pow(power)) @ vectors.T for power in (0.5, -0.5))
    _, basis = torch.linalg.eigh(root @ covariance @ root)
    basis = basis.flip(1)
    return Transform(basis.T @ root, inverse @ basis)
