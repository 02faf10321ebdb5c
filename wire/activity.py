"""What the channels that are already coded say about the next ones: activities and contexts.

Channels are coded ``GROUP`` at a time. The activity of a group at a position is the sum of the magnitudes that earlier
groups have there, twice, and at the four positions beside it; a channel's own bounds turn it into a context. Integers
only: both sides of the wire and the training that counts the tables must find the same contexts.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

GROUP: Final = 4

Levels = npt.NDArray[np.int8]
Activities = npt.NDArray[np.int32]
Contexts = npt.NDArray[np.uint8]


def groups(channels: int) -> int:
    """Count the groups of so many channels; the last may be smaller than ``GROUP``."""
    return -(-channels // GROUP)


def activities(levels: Levels) -> Activities:
    """Give the activity that every group of int8 levels (C, h, w) is coded under: int32 (groups, h, w).

    The first group's is 0.
    """
    channels, height, width = levels.shape
    magnitudes = np.abs(levels.astype(np.int32))
    earlier = np.zeros((groups(channels), height, width), np.int32)
    whole = (channels - 1) // GROUP
    sums = magnitudes[: whole * GROUP].reshape(whole, GROUP, height, width).sum(axis=1, dtype=np.int32)
    np.cumsum(sums, axis=0, out=earlier[1:])
    return spread(earlier)


def spread(earlier: npt.NDArray[np.int32]) -> Activities:
    """Turn sums of magnitudes, int32 (..., h, w), into activities: zero is beside the plane."""
    *outer, height, width = earlier.shape
    # One column of zeros serves as the right side of a row and the left side of the next.
    stride = width + 1
    padded = np.zeros((*outer, height + 2, stride), np.int32)
    padded[..., 1:-1, :-1] = earlier
    # Shifts of one flat axis: far fewer and longer runs than shifts of a plane.
    flat = padded.reshape(*outer, -1)
    size = height * stride
    found = flat[..., :size] + flat[..., 2 * stride :]
    found += flat[..., stride - 1 : stride - 1 + size]
    found += flat[..., stride + 1 : stride + 1 + size]
    here = flat[..., stride : stride + size]
    found += here
    found += here
    return found.reshape(*outer, height, stride)[..., :-1]


def contexts(activity: Activities, bounds: npt.NDArray[np.integer[Any]]) -> Contexts:
    """Give the context of every level: uint8 (C, h, w), the last bound of the channel that its activity reaches.

    ``activity`` is what ``activities`` gives, int32 (groups, h, w); ``bounds`` are non-decreasing integers (C, K) that
    begin with 0, of K from 1 to 16.
    """
    own = np.repeat(activity, GROUP, axis=0)[: len(bounds)]
    return reached(own, np.ascontiguousarray(bounds.T[1:, :, None, None], np.int32))


def reached(activity: Activities, bounds: npt.NDArray[np.int32]) -> Contexts:
    """Count the bounds, int32 (K - 1, C or 1, 1, 1), that activities (C or 1, h, w) reach: uint8 (C, h, w)."""
    return np.add.reduce((activity >= bounds).view(np.uint8), axis=0, dtype=np.uint8)
