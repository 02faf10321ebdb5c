"""BottleNet's codec (Eshratifar, Esmaili and Pedram, 2019): a learned reduction of channels and of space.

Owns the reduction units, the 8-bit quantiser and the restoration units, as modules that train and that export to
ONNX. With a quality in its setting it trains through JPEG (compression-aware), without one it does not (naive).
Knows nothing of bitstreams, bundles or training loops.
"""

import re
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from cluster.codecs.codec import Codec, Rate
from cluster.codecs.tiled_jpeg import through_jpeg
from wire.errors import SettingError

LEVELS: Final = 256
RESTORATION_WIDTH: Final = 96
RANGE_MOMENTUM: Final = 0.05
NAIVE_QUALITIES: Final = (50, 75, 95)
"""The JPEG qualities at which a codec is offered that was trained without any."""


@dataclass(frozen=True, slots=True)
class BottleNetSetting:
    """How far to reduce: to ``channels`` channels, and by ``stride`` in height and in width (c′ and s).

    ``quality`` is that of the JPEG pictures through which the codec is trained, None for none.
    """

    channels: int
    stride: int
    quality: int | None = None

    @classmethod
    def parse(cls, text: str) -> "BottleNetSetting":
        """Read ``c8-s2`` or ``c8-s2-q75``.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"c([1-9]\d{0,3})-s([1-9]\d?)(?:-q([1-9]\d?|100))?", text)
        if match is None:
            raise SettingError(
                f"{text!r} is no setting of bottlenet",
                mend="write it as c8-s2: 8 channels, stride 2; or as c8-s2-q75: the same, trained through JPEG",
            )
        return cls(int(match[1]), int(match[2]), int(match[3]) if match[3] else None)

    def __str__(self) -> str:
        aware = "" if self.quality is None else f"-q{self.quality}"
        return f"c{self.channels}-s{self.stride}{aware}"


class BottleNet(Codec):
    """Encoder and decoder for the tensor at one point, (N, C, H, W) float32.

    The encoder's symbols are (N, c′, ⌈H/s⌉, ⌈W/s⌉), integers 0 to 255.
    """

    name = "bottlenet"

    def __init__(self, shape: tuple[int, ...], setting: BottleNetSetting) -> None:
        """Build a codec for tensors of ``shape`` (C, H, W).

        Raises:
            SettingError: the point's tensor has no height and width, or the setting does not divide it.
        """
        super().__init__()
        odd = setting.stride > 1 and setting.stride % 2
        if len(shape) != 3 or odd or shape[1] % setting.stride or shape[2] % setting.stride:
            raise SettingError(
                f"bottlenet {setting} does not fit a tensor of shape {shape}",
                mend="choose a point with a (C, H, W) tensor, and a stride of 1 or an even one that divides H and W",
            )
        channels, stride = setting.channels, setting.stride
        self.setting, self.symbol_shape = setting, (channels, shape[1] // stride, shape[2] // stride)
        self.quality = setting.quality
        self.encoder: Encoder = Encoder(shape[0], setting)
        self.decoder: Decoder = Decoder(shape[0], setting)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give Huffman codes, and JPEG pictures of the tiled channels: at the quality trained for, or at some."""
        qualities = NAIVE_QUALITIES if self.quality is None else (self.quality,)
        return (Rate("huffman", "huffman"), *(Rate(f"jpeg-q{q}", "jpeg", quality=q) for q in qualities))

    def quantised(self, features: Tensor) -> Tensor:
        """Give the symbols as float32 that carry gradients; after JPEG, if the codec is trained through it.

        For the gradient the pair of JPEG encoder and decoder is the identity (section III of the paper).
        """
        levels = self.encoder.quantised(features)
        return levels if self.quality is None else through_jpeg(levels, self.quality)

    def restore(self, levels: Tensor) -> Tensor:
        """Restore features from symbols that carry gradients."""
        return self.decoder.restore(levels)

    def track_ranges(self, *, on: bool) -> None:
        """Let the greatest value of each channel follow the features, or hold it."""
        self.encoder.tracks_range = on


class Encoder(nn.Module):
    """The device half: features to symbols."""

    def __init__(self, inputs: int, setting: BottleNetSetting) -> None:
        super().__init__()
        channels, stride = setting.channels, setting.stride
        self.channel_reduction = nn.Sequential(
            nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.spatial_reduction: nn.Module = nn.Identity()
        if stride > 1:
            self.spatial_reduction = nn.Sequential(
                nn.Conv2d(channels, channels, 2 * stride, stride, padding=stride // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
        self.maximum: Tensor
        self.register_buffer("maximum", torch.ones(1, channels, 1, 1))
        self.tracks_range = True

    def forward(self, features: Tensor) -> Tensor:
        """Give the symbols as uint8."""
        return self._scaled(self._reduced(features)).round().to(torch.uint8)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the symbols as float32 that carry gradients (straight-through)."""
        reduced = self._reduced(features).float()
        if self.training and self.tracks_range:
            self._track(reduced.detach())
        scaled = self._scaled(reduced)
        return scaled + (scaled.round() - scaled).detach()

    def _reduced(self, features: Tensor) -> Tensor:
        return self.spatial_reduction(self.channel_reduction(features))

    def _scaled(self, reduced: Tensor) -> Tensor:
        # Equation 1 with n = 8. The minimum after a ReLU is 0; the maximum is each channel's, learned in training
        # and fixed after it, so that no float has to travel with a frame.
        return reduced.clamp(max=self.maximum) / self.maximum * (LEVELS - 1)

    def _track(self, reduced: Tensor) -> None:
        peak = reduced.amax(dim=(0, 2, 3)).view_as(self.maximum).clamp(min=1e-3)
        self.maximum.lerp_(peak, RANGE_MOMENTUM)


class Decoder(nn.Module):
    """The cluster half: symbols to features like those that the head gave."""

    def __init__(self, outputs: int, setting: BottleNetSetting) -> None:
        super().__init__()
        channels, stride, width = setting.channels, setting.stride, RESTORATION_WIDTH
        spatial: nn.Module = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        if stride > 1:
            spatial = nn.ConvTranspose2d(channels, width, 2 * stride, stride, padding=stride // 2, bias=False)
        self.spatial_restoration = nn.Sequential(spatial, nn.BatchNorm2d(width), nn.ReLU())
        # No ReLU at the end: the tensor at a linear bottleneck is signed.
        self.channel_restoration = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, symbols: Tensor) -> Tensor:
        """Restore features (N, C, H, W) from symbols (N, c′, h, w) of any integer type."""
        return self.restore(symbols.float())

    def restore(self, levels: Tensor) -> Tensor:
        """Restore features from symbols that carry gradients."""
        return self.channel_restoration(self.spatial_restoration(levels / (LEVELS - 1)))
