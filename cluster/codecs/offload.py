"""The baselines that DeepCOD (Yao et al., SenSys 2020) compares with and that need no training.

Offload sends the tensor as it is; Offload-Intp a smaller one that is interpolated back; Offload-Lossy 8-bit steps, as
a JPEG picture or with Huffman codes. Owns their settings.
"""

from dataclasses import dataclass
from typing import Final

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from cluster.codecs.codec import Codec, Maps, OnlySetting, Rate, as_maps
from cluster.codecs.step_quantiser import EightBits, StepCodec
from wire.errors import SettingError

__all__ = ["EightBits", "InterpolationSetting", "Offload", "OffloadInterpolation", "OffloadLossy", "Untouched"]

JPEG_QUALITIES: Final = (50, 75, 90)


class Untouched(OnlySetting):
    """The setting of Offload: every value as it is."""

    text = "float32"
    owner = "offload"


@dataclass(frozen=True, slots=True)
class InterpolationSetting:
    """One value is sent instead of ``stride`` × ``stride``."""

    stride: int

    @classmethod
    def parse(cls, text: str) -> "InterpolationSetting":
        """Read ``s2`` or ``s4``.

        Raises:
            SettingError: the text is anything else.
        """
        if text not in ("s2", "s4"):
            raise SettingError(f"{text!r} is no setting of offload-interpolation", mend="write s2 or s4")
        return cls(int(text[1]))

    def __str__(self) -> str:
        return f"s{self.stride}"


class FloatCodec(Codec):
    """A codec that sends numbers as they are: whatever it does, it does before and behind them."""

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: four bytes a value that is sent."""
        return (Rate("float32", "float32"),)

    def quantised(self, features: Tensor) -> Tensor:
        """Give what is sent, (N, *symbol_shape)."""
        sent: Tensor = self.encoder(features)
        return sent

    def restore(self, levels: Tensor) -> Tensor:
        """Give features of what was sent."""
        restored: Tensor = self.decoder(levels)
        return restored


class Offload(FloatCodec):
    """The tensor itself."""

    name = "offload"

    def __init__(self, shape: tuple[int, ...], setting: Untouched) -> None:
        super().__init__()
        self.setting, self.symbol_shape = setting, as_maps(shape, self.name)
        self.encoder = Reshape(self.symbol_shape)
        self.decoder = Reshape(shape)


class OffloadInterpolation(FloatCodec):
    """A smaller tensor, interpolated both ways."""

    name = "offload-interpolation"

    def __init__(self, shape: tuple[int, ...], setting: InterpolationSetting) -> None:
        super().__init__()
        stride = setting.stride
        if len(shape) != 3 or shape[1] % stride or shape[2] % stride:
            raise SettingError(
                f"offload-interpolation {setting} does not fit a tensor of shape {shape}",
                mend=f"choose a point with a (C, H, W) tensor whose sides {stride} divides",
            )
        channels, height, width = shape
        self.setting, self.symbol_shape = setting, (channels, height // stride, width // stride)
        self.encoder = Interpolate(self.symbol_shape)
        self.decoder = Interpolate((channels, height, width))


class OffloadLossy(StepCodec):
    """8-bit steps; of its two coders the paper's tables show the better one."""

    name = "offload-lossy"

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give Huffman codes, and JPEG pictures of the tiled channels at three qualities."""
        return (Rate("huffman", "huffman"), *(Rate(f"jpeg-q{q}", "jpeg", quality=q) for q in JPEG_QUALITIES))


class Reshape(nn.Module):
    """The same values in another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Give (N, *shape)."""
        return x.reshape(-1, *self.shape)


class Interpolate(nn.Module):
    """Bilinear interpolation to a height and a width, both ways with the corners of pixels in line."""

    def __init__(self, maps: Maps) -> None:
        super().__init__()
        self.height, self.width = maps[1:]

    def forward(self, x: Tensor) -> Tensor:
        """Scale (N, C, h, w) to (N, C, height, width)."""
        return F.interpolate(x, size=(self.height, self.width), mode="bilinear", align_corners=False)
