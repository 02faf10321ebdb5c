"""JPEG of a codec's symbols as a step of training: the real coder forward, the identity backward (BottleNet).

Owns the autograd function. How symbols become a picture is the wire's, so that training sees what a frame will.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from wire.bitstream import Coder
from wire.ids import OptionId
from wire.picture_coding import PictureCoding
from wire.tensor_form import TensorForm


def through_jpeg(levels: Tensor, quality: int) -> Tensor:
    """Give symbols (N, C, h, w), float32 0 to 255, as they come back from JPEG pictures of ``quality``."""
    result: Tensor = _ThroughJpeg.apply(levels, quality)  # type: ignore[no-untyped-call]  # torch's own
    return result


class _ThroughJpeg(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, levels: Tensor, quality: int) -> Tensor:
        """Code and decode every frame's picture."""
        symbols = levels.detach().round().clamp(0, 255).to(torch.uint8).cpu().numpy()
        coding = PictureCoding(OptionId(0), TensorForm.symbols(symbols.shape[1:]), Coder.JPEG, quality)
        decoded = np.stack([coding.decode(coding.encode(frame)) for frame in symbols])
        return torch.from_numpy(decoded).to(levels.device, levels.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Pass the gradient on as it is."""
        return grads[0], None
