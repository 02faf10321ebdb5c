"""Offload-AE, a baseline of DeepCOD (Yao et al., SenSys 2020): a deeper symmetric autoencoder, learned from features.

Three convolutions down on the device, three up on the cluster, 8-bit symbols, Huffman codes. Owns the setting.
"""

import re
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from cluster.codecs.codec import Codec, Rate
from cluster.codecs.step_quantiser import StepQuantiser
from wire.errors import SettingError

WIDTH: Final = 64
STRIDES: Final = {1: (1, 1, 1), 2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)}
"""What each convolution shrinks by, for the whole."""


@dataclass(frozen=True, slots=True)
class AutoEncoderSetting:
    """How far to reduce: to ``channels`` channels, and by ``stride`` in height and in width."""

    channels: int
    stride: int

    @classmethod
    def parse(cls, text: str) -> "AutoEncoderSetting":
        """Read ``c12-s4``.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"c([1-9]\d{0,3})-s([1248])", text)
        if match is None:
            raise SettingError(
                f"{text!r} is no setting of offload-autoencoder",
                mend="write it as c12-s4: 12 channels, stride 4 (1, 2, 4 or 8)",
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"c{self.channels}-s{self.stride}"


class AutoEncoder(Codec):
    """Symbols are (N, c, H/s, W/s), uint8."""

    name = "offload-autoencoder"

    def __init__(self, shape: tuple[int, ...], setting: AutoEncoderSetting) -> None:
        super().__init__()
        channels, stride = setting.channels, setting.stride
        if len(shape) != 3 or shape[1] % stride or shape[2] % stride:
            raise SettingError(
                f"offload-autoencoder {setting} does not fit a tensor of shape {shape}",
                mend="choose a point with a (C, H, W) tensor, and a stride that divides H and W",
            )
        self.setting, self.symbol_shape = setting, (channels, shape[1] // stride, shape[2] // stride)
        quantiser = StepQuantiser(8, channels)
        strides = STRIDES[stride]
        self.encoder: Contraction = Contraction(shape[0], channels, strides, quantiser)
        self.decoder: Expansion = Expansion(channels, shape[0], strides[::-1], quantiser)
        self._tracks = True

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: Huffman codes."""
        return (Rate("huffman", "huffman"),)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the symbols as float32 that carry gradients."""
        latents = self.encoder.layers(features)
        if self.training and self._tracks:
            self.encoder.quantiser.track(latents)
        return self.encoder.quantiser.straight_through(latents)

    def restore(self, levels: Tensor) -> Tensor:
        """Give features from symbols that carry gradients."""
        return self.decoder.restore(levels)

    def track_ranges(self, *, on: bool) -> None:
        """Let the range of each channel follow the features, or hold it."""
        self._tracks = on


class Contraction(nn.Module):
    """The device half: three convolutions and the quantiser."""

    def __init__(self, inputs: int, channels: int, strides: tuple[int, ...], quantiser: StepQuantiser) -> None:
        super().__init__()
        first, second, third = strides
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, WIDTH, 3, first, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, second, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            nn.Conv2d(WIDTH, channels, 3, third, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.quantiser = quantiser

    def forward(self, features: Tensor) -> Tensor:
        """Give the symbols as uint8."""
        return self.quantiser(self.layers(features))


class Expansion(nn.Module):
    """The cluster half: three convolutions that mirror the device's."""

    def __init__(self, channels: int, outputs: int, strides: tuple[int, ...], quantiser: StepQuantiser) -> None:
        super().__init__()
        first, second, third = strides
        self.quantiser = quantiser
        self.layers = nn.Sequential(
            _wider(channels, WIDTH, first), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            _wider(WIDTH, WIDTH, second), nn.BatchNorm2d(WIDTH), nn.ReLU(),
            _wider(WIDTH, outputs, third),
        )  # fmt: skip

    def forward(self, symbols: Tensor) -> Tensor:
        """Give features (N, C, H, W) from symbols (N, c, h, w) of any integer type."""
        return self.restore(symbols.float())

    def restore(self, levels: Tensor) -> Tensor:
        """Give features from symbols that carry gradients."""
        return self.layers(self.quantiser.values(levels))


def _wider(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.ConvTranspose2d(inputs, outputs, 3, stride, padding=1, output_padding=stride - 1)
