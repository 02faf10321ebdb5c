"""Quantisation in even steps over a fixed range, and the codecs that do nothing else.

Owns the formula that BottleNet (equation 1) and JALAD share. Knows no bitstream.
"""

from typing import Final

import torch
from torch import Tensor, nn

from cluster.codecs.codec import Codec, OnlySetting, Setting, as_maps

LEAST_SPAN: Final = 1e-6
RANGE_MOMENTUM: Final = 0.05


class StepQuantiser(nn.Module):
    """round((x − min) / (max − min) · (2ⁿ − 1)), with min and max of a sample instead of each tensor's own.

    So no float has to travel with a frame. With ``channels`` every channel has a range, else there is one for all.
    """

    def __init__(self, bits: int, channels: int = 1) -> None:
        super().__init__()
        self.top = 2**bits - 1
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.zeros(1, channels, 1, 1))
        self.register_buffer("high", torch.ones(1, channels, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Give the symbols of values (N, C, H, W), uint8, 0 to 2ⁿ − 1."""
        return self._scaled(values).round().to(torch.uint8)

    def straight_through(self, values: Tensor) -> Tensor:
        """Give the symbols as float32 that carry gradients."""
        scaled = self._scaled(values)
        return scaled + (scaled.round() - scaled).detach()

    def values(self, levels: Tensor) -> Tensor:
        """Give the values that symbols stand for."""
        return levels / self.top * (self.high - self.low) + self.low

    def calibrate(self, values: Tensor) -> None:
        """Take the range of a sample (N, C, H, W)."""
        low, high = self._range(values)
        self.low.copy_(low)
        self.high.copy_(high)

    def track(self, values: Tensor) -> None:
        """Move the range towards that of a batch."""
        low, high = self._range(values)
        self.low.lerp_(low, RANGE_MOMENTUM)
        self.high.lerp_(high, RANGE_MOMENTUM)

    def _scaled(self, values: Tensor) -> Tensor:
        # In float32 whatever the precision around: half has not the digits to hold a level and its rounding apart.
        inside = torch.minimum(torch.maximum(values.float(), self.low), self.high)
        return (inside - self.low) / (self.high - self.low) * self.top

    def _range(self, values: Tensor) -> tuple[Tensor, Tensor]:
        over = (0, 2, 3) if self.low.numel() > 1 else (0, 1, 2, 3)
        low = values.detach().float().amin(dim=over).view_as(self.low)
        high = values.detach().float().amax(dim=over).view_as(self.high)
        return low, torch.maximum(high, low + LEAST_SPAN)


class EightBits(OnlySetting):
    """8 bits a value."""

    text = "8bit"
    owner = "a codec of 8-bit steps"


class StepCodec(Codec):
    """A codec that only quantises in even steps: nothing to train, one range for the whole tensor."""

    def __init__(self, shape: tuple[int, ...], setting: Setting, *, bits: int = 8) -> None:
        super().__init__()
        self.setting, self.symbol_shape, self.alphabet = setting, as_maps(shape, self.name), 2**bits
        quantiser = StepQuantiser(bits)
        self.encoder: StepEncoder = StepEncoder(self.symbol_shape, quantiser)
        self.decoder: StepDecoder = StepDecoder(shape, quantiser)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the symbols (N, C, H, W) as float32 that carry gradients."""
        return self.encoder.quantiser.straight_through(features.reshape(-1, *self.symbol_shape))

    def restore(self, levels: Tensor) -> Tensor:
        """Give the features that symbols stand for."""
        return self.decoder(levels)

    def calibrate(self, features: Tensor) -> None:
        """Take the least and the greatest value of a sample as the range of the quantiser."""
        self.encoder.quantiser.calibrate(features.reshape(-1, *self.symbol_shape))


class StepEncoder(nn.Module):
    """Features to symbols."""

    def __init__(self, maps: tuple[int, int, int], quantiser: StepQuantiser) -> None:
        super().__init__()
        self.maps, self.quantiser = maps, quantiser

    def forward(self, features: Tensor) -> Tensor:
        """Quantise features (N, *shape) to uint8 (N, C, H, W)."""
        return self.quantiser(features.reshape(-1, *self.maps))


class StepDecoder(nn.Module):
    """Symbols to features."""

    def __init__(self, shape: tuple[int, ...], quantiser: StepQuantiser) -> None:
        super().__init__()
        self.shape, self.quantiser = shape, quantiser

    def forward(self, symbols: Tensor) -> Tensor:
        """Give the features (N, *shape), float32, that symbols (N, C, H, W) stand for."""
        return self.quantiser.values(symbols.float()).reshape(-1, *self.shape)
