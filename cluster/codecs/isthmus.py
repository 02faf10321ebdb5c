"""Our own codec: the linear transform that is best for the tail, and six rates of the same weights.

Channels and places of a feature map are transformed by two small matrices (``cluster.codecs.task_transform``); the
coefficients are sorted into bands of falling worth, quantised with the gains of a rate and coded by ``wire.rans``
with the band's own table. Owns the modules and the gains. Knows nothing of training.
"""

import re
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from cluster.codecs.codec import Codec, Rate
from cluster.codecs.task_transform import TaskTransform
from wire.errors import SettingError

RATES: Final = 6
RATE_STEP: Final = 2**-0.5
"""Each rate has this share of the bytes of the one above it."""
MAGNITUDES: Final = 64
"""A level has a magnitude below this."""


@dataclass(frozen=True, slots=True)
class IsthmusSetting:
    """So many bands of coefficients are sent, of s×s patches; the first rate aims at ``most_bytes`` a frame."""

    bands: int
    stride: int
    most_bytes: int

    @classmethod
    def parse(cls, text: str) -> "IsthmusSetting":
        """Read ``k80-s2-b3500``.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"k([1-9]\d{0,2})-s([12])-b([1-9]\d{1,4})", text)
        if match is None:
            raise SettingError(
                f"{text!r} is no setting of isthmus",
                mend="write it as k80-s2-b3500: 80 bands, patches of 2×2 (or 1), first rate of 3500 bytes a frame",
            )
        return cls(int(match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        return f"k{self.bands}-s{self.stride}-b{self.most_bytes}"

    @property
    def target_bytes(self) -> tuple[float, ...]:
        """The bytes that each rate aims at, header included, the first rate's most."""
        return tuple(self.most_bytes * RATE_STEP**rate for rate in range(RATES))


class Isthmus(Codec):
    """Encoder and decoder for the tensor at one point, (N, C, H, W) float32.

    The latents are (N, bands, H/s, W/s) float32. A rate multiplies a band by its gain on the device and by its inverse
    gain on the cluster, as gain units do (Cui et al., CVPR 2021, eq. 2); between the two they are integers.
    """

    name = "isthmus"

    def __init__(self, shape: tuple[int, ...], setting: IsthmusSetting) -> None:
        """Build a codec for tensors of ``shape`` (C, H, W).

        Raises:
            SettingError: the point's tensor has no height and width, or the setting does not fit it.
        """
        super().__init__()
        stride = setting.stride
        fits = len(shape) == 3 and shape[1] % stride == 0 and shape[2] % stride == 0
        if not fits or setting.bands > shape[0] * stride**2:
            raise SettingError(
                f"isthmus {setting} does not fit a tensor of shape {shape}",
                mend="choose a point with a (C, H, W) tensor, a stride that divides H and W, and at most C·s·s bands",
            )
        self.setting = setting
        self.symbol_shape = (setting.bands, shape[1] // stride, shape[2] // stride)
        coefficients = shape[0] * stride**2
        self.encoder = Encoder(shape[0], coefficients, stride, self.symbol_shape)
        self.decoder = Decoder(shape[0], coefficients, stride, self.symbol_shape)
        self.gains: Tensor
        self.register_buffer("gains", torch.ones(RATES, 2, setting.bands))

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The rates, most bytes first, named ``r1`` and up."""
        return tuple(Rate(f"r{index + 1}", "rans", gains=pair) for index, pair in enumerate(self.gains.cpu().numpy()))

    def patches(self, features: Tensor) -> Tensor:
        """Put the s×s values of a patch into channels: (N, C·s·s, H/s, W/s)."""
        return F.pixel_unshuffle(features, self.encoder.stride)  # type: ignore[arg-type]

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches; ``order`` (bands·h·w,) names the coefficients to send, most important first."""
        self.encoder.set_transform(transform, order)  # type: ignore[operator]
        self.decoder.set_transform(transform, order)  # type: ignore[operator]

    def levels(self, latents: Tensor, rate: int) -> Tensor:
        """Quantise latents (N, bands, h, w) at a rate, as ``wire.codings`` does."""
        scaled = latents * self.gains[rate, 0][:, None, None]
        return scaled.round().clamp(1 - MAGNITUDES, MAGNITUDES - 1)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the latents as the first rate's decoder gets them; gradients pass straight through."""
        latents = self.encoder(features)
        told = self.levels(latents, 0) * self.gains[0, 1][:, None, None]
        return latents + (told - latents).detach()

    def restore(self, levels: Tensor) -> Tensor:
        """Restore features from dequantised latents."""
        restored: Tensor = self.decoder(levels)
        return restored


class Encoder(nn.Module):
    """The device half: a strided convolution, a matrix over places, and the choice of what is sent."""

    def __init__(self, inputs: int, coefficients: int, stride: int, sent: tuple[int, int, int]) -> None:
        super().__init__()
        self.stride, self.sent = stride, sent
        places = sent[1] * sent[2]
        self.channels = nn.Conv2d(inputs, coefficients, stride, stride)
        self.places: Tensor
        self.register_buffer("places", torch.eye(places))
        self.order: Tensor
        self.register_buffer("order", torch.arange(sent[0] * places))

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches of the stride's size, and the order of its coefficients."""
        kernel = transform.channels.analysis.reshape(self.channels.weight.shape)
        with torch.no_grad():
            self.channels.weight.copy_(kernel)
            self.channels.bias.copy_(-transform.channels.analysis @ transform.mean)  # type: ignore[union-attr]
        self.places.copy_(transform.places.analysis.T)
        self.order.copy_(order)

    def forward(self, features: Tensor) -> Tensor:
        """Give latents (N, bands, h, w) of features (N, C, H, W)."""
        coefficients = self.channels(features).flatten(2) @ self.places
        return coefficients.flatten(1).index_select(1, self.order).view(-1, *self.sent)


class Decoder(nn.Module):
    """The cluster half: the inverse of the encoder, with zeros for what was not sent."""

    def __init__(self, outputs: int, coefficients: int, stride: int, sent: tuple[int, int, int]) -> None:
        super().__init__()
        self.size = (coefficients, sent[1] * sent[2])
        self.map_size = sent[1:]
        self.channels = nn.ConvTranspose2d(coefficients, outputs, stride, stride)
        self.places: Tensor
        self.register_buffer("places", torch.eye(self.size[1]))
        self.source: Tensor
        self.register_buffer("source", torch.zeros(coefficients * self.size[1], dtype=torch.int64))
        """Where each coefficient lies among the latents; behind their end is a zero."""

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches of the stride's size, and the order of its coefficients."""
        kernel = transform.channels.synthesis.T.reshape(self.channels.weight.shape)
        patch = kernel.shape[2] * kernel.shape[3]
        with torch.no_grad():
            self.channels.weight.copy_(kernel)
            # The mean of a patch's values differs from place to place in it by chance alone.
            self.channels.bias.copy_(transform.mean.view(-1, patch).mean(dim=1))  # type: ignore[union-attr]
        self.places.copy_(transform.places.synthesis.T)
        self.source.fill_(len(order))
        self.source[order] = torch.arange(len(order))

    def forward(self, latents: Tensor) -> Tensor:
        """Restore features (N, C, H, W) from dequantised latents (N, bands, h, w)."""
        sent = F.pad(latents.flatten(1), (0, 1))
        coefficients = sent.index_select(1, self.source).view(-1, *self.size) @ self.places
        return self.channels(coefficients.view(-1, self.size[0], *self.map_size))
