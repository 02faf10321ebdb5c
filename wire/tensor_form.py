"""What one frame's tensor looks like between coder and graph: a name, a dtype and a shape. Owns the form alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]
Shape = tuple[int, ...]
Dtype = Literal["uint8", "float32"]


@dataclass(frozen=True, slots=True)
class TensorForm:
    """The tensor that the device codes and that the cluster graph takes, without the batch axis.

    ``name`` is also that of the cluster graph's input: ``pixels``, uint8 RGB (H, W, 3), or ``symbols`` (C, h, w), which
    are uint8, or float32 where the coder quantises by itself or not at all.
    """

    name: Literal["pixels", "symbols"]
    dtype: Dtype
    shape: Shape

    @classmethod
    def pixels(cls, height: int, width: int) -> "TensorForm":
        """Give the form of a whole frame."""
        return cls("pixels", "uint8", (height, width, 3))

    @classmethod
    def symbols(cls, shape: Shape, dtype: Dtype = "uint8") -> "TensorForm":
        """Give the form of what a device graph gives."""
        return cls("symbols", dtype, tuple(shape))

    @property
    def planes(self) -> tuple[int, int, int]:
        """Channels, height and width, whichever comes first in the tensor."""
        if self.name == "pixels":
            height, width, channels = self.shape
        else:
            channels, height, width = self.shape
        return channels, height, width

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor as it lies in memory."""
        channels, height, width = self.planes
        return channels * height * width * np.dtype(self.dtype).itemsize

    def check(self, tensor: Tensor) -> None:
        """Raise ValueError for a tensor of another dtype or shape."""
        if tensor.dtype != self.dtype or tensor.shape != self.shape:
            raise ValueError(f"{self.name} must be {self.dtype} {self.shape}, not {tensor.dtype} {tensor.shape}")
