"""DeepCOD's codec (Yao et al., SenSys 2020): compressive sensing whose sensing and recovery are both learned.

One strided convolution measures the features (equation 7), kept near orthonormal by a regulariser (equation 10);
learned centres quantise the measurements (equations 12 and 13); a residual decoder with self-attention, its
convolutions spectrally normalised while it learns (figure 3), recovers the features. Owns these modules; how they are
trained is ``cluster.training.deepcod_recipe``'s.
"""

import re
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from cluster.codecs.codec import Codec, Rate
from wire.errors import SettingError

WIDTH: Final = 64
ATTENTION_WIDTH: Final = 16
SHARPNESS: Final = 2.0
"""σ of equation 13, for centres one apart."""
SPREAD: Final = 3.0
"""How many standard deviations of the measurements the centres span at first."""
LEAST_DEVIATION: Final = 1e-3


@dataclass(frozen=True, slots=True)
class DeepCodSetting:
    """Channels and stride of the encoder's convolution, and the number of quantisation centres."""

    channels: int
    stride: int
    centres: int = 16

    @classmethod
    def parse(cls, text: str) -> "DeepCodSetting":
        """Read ``c12-s2-l8``, or ``c12-s2`` for 16 centres.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"c([1-9]\d{0,3})-s([1248])(?:-l([1-9]\d{0,2}))?", text)
        centres = int(match[3] or 16) if match else 0
        if match is None or not 2 <= centres <= 256:
            raise SettingError(
                f"{text!r} is no setting of deepcod",
                mend="write it as c12-s2-l16: 12 channels, stride 2 (1, 2, 4 or 8), 16 centres (2 to 256)",
            )
        return cls(int(match[1]), int(match[2]), centres)

    def __str__(self) -> str:
        return f"c{self.channels}-s{self.stride}-l{self.centres}"


class DeepCod(Codec):
    """Symbols are (N, c, H/s, W/s), the indices of centres."""

    name = "deepcod"

    def __init__(self, shape: tuple[int, ...], setting: DeepCodSetting) -> None:
        """Build a codec for tensors of ``shape`` (C, H, W).

        Raises:
            SettingError: the point's tensor has no height and width, or the setting does not divide it.
        """
        super().__init__()
        stride = setting.stride
        if len(shape) != 3 or shape[1] % stride or shape[2] % stride:
            raise SettingError(
                f"deepcod {setting} does not fit a tensor of shape {shape}",
                mend="choose a point with a (C, H, W) tensor, and a stride that divides H and W",
            )
        self.setting = setting
        self.symbol_shape = (setting.channels, shape[1] // stride, shape[2] // stride)
        self.alphabet = setting.centres
        quantiser = Centres(setting.centres)
        self.encoder: Encoder = Encoder(shape[0], setting, quantiser)
        self.decoder: Decoder = Decoder(shape[0], setting, quantiser)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: Huffman codes."""
        return (Rate("huffman", "huffman"),)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the nearest centres of the measurements, with the gradients of the soft ones."""
        return self.encoder.quantiser.nearest(self.encoder.sensing(features))

    def restore(self, levels: Tensor) -> Tensor:
        """Recover features from centres that carry gradients."""
        return self.decoder.restore(levels)

    def calibrate(self, features: Tensor) -> None:
        """Spread the centres evenly over the measurements of a sample."""
        with torch.no_grad():
            self.encoder.quantiser.spread(self.encoder.sensing(features))

    def regulariser(self) -> Tensor:
        """Tell how far the encoder's convolution is from orthonormal: ‖WWᵀ − I‖² a row (equation 10)."""
        kernel = self.encoder.sensing.weight.flatten(1)
        rows = kernel if kernel.shape[0] <= kernel.shape[1] else kernel.T
        # In float32 whatever the precision around: the difference is small.
        with torch.autocast(rows.device.type, enabled=False):
            gram = rows.float() @ rows.float().T
        return (gram - torch.eye(len(rows), device=rows.device)).square().sum() / len(rows)

    def normalise_spectra(self) -> None:
        """Let the decoder's convolutions learn with a spectral norm of 1, all but the last, which sets the scale."""
        for module in self._normalised():
            parametrizations.spectral_norm(module)

    def fold_spectra(self) -> None:
        """Write the normalised weights into the convolutions, which then are plain ones."""
        for module in self._normalised():
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)

    def _normalised(self) -> list[nn.Module]:
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        return [module for module in self.decoder.recovery.modules() if isinstance(module, kinds)]


class Centres(nn.Module):
    """The learned quantiser: a value becomes the nearest of a few centres."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.linspace(-1.0, 1.0, count))

    def forward(self, values: Tensor) -> Tensor:
        """Give the index of each value's nearest centre (equation 12), uint8."""
        return self._distances(values).argmin(dim=-1).to(torch.uint8)

    def nearest(self, values: Tensor) -> Tensor:
        """Give each value's nearest centre; its gradient is that of the soft assignment (equation 13)."""
        distances = self._distances(values)
        span = (self.centres.max() - self.centres.min()).detach().clamp(min=LEAST_DEVIATION)
        spacing = span / (len(self.centres) - 1)
        weights = F.softmax(-SHARPNESS / spacing * distances, dim=-1)
        soft = (weights * self.centres).sum(dim=-1)
        hard = self.centres.detach()[distances.argmin(dim=-1)]
        return soft + (hard - soft).detach()

    def spread(self, values: Tensor) -> None:
        """Place the centres evenly around the mean of a sample."""
        reach = SPREAD * values.std().clamp(min=LEAST_DEVIATION)
        steps = torch.linspace(-1.0, 1.0, len(self.centres), device=values.device)
        self.centres.copy_(values.mean() + reach * steps)

    def _distances(self, values: Tensor) -> Tensor:
        return (values.float().unsqueeze(-1) - self.centres).abs()


class Encoder(nn.Module):
    """The device half: one convolution, without bias or activation, and the quantiser."""

    def __init__(self, inputs: int, setting: DeepCodSetting, quantiser: Centres) -> None:
        super().__init__()
        stride = setting.stride
        kernel, padding = (3, 1) if stride == 1 else (2 * stride, stride // 2)
        self.sensing = nn.Conv2d(inputs, setting.channels, kernel, stride, padding=padding, bias=False)
        nn.init.orthogonal_(self.sensing.weight)
        self.quantiser = quantiser

    def forward(self, features: Tensor) -> Tensor:
        """Give the symbols as uint8."""
        return self.quantiser(self.sensing(features))


class Decoder(nn.Module):
    """The cluster half: indices to centres, residual units with attention, and a last convolution."""

    def __init__(self, outputs: int, setting: DeepCodSetting, quantiser: Centres) -> None:
        super().__init__()
        self.quantiser = quantiser
        # At least two residual units; each but the first of stride 1 doubles height and width.
        doublings = setting.stride.bit_length() - 1
        strides = [1] * max(0, 2 - doublings) + [2] * doublings
        units = [ResidualUp(WIDTH, stride) for stride in strides]
        self.recovery = nn.Sequential(nn.Conv2d(setting.channels, WIDTH, 3, padding=1), SelfAttention(WIDTH), *units)
        self.output = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, outputs, 3, padding=1))

    def forward(self, symbols: Tensor) -> Tensor:
        """Recover features (N, C, H, W) from indices (N, c, h, w) of any integer type."""
        return self.restore(self.quantiser.centres[symbols.long()])

    def restore(self, levels: Tensor) -> Tensor:
        """Recover features from centres that carry gradients."""
        return self.output(self.recovery(levels))


class ResidualUp(nn.Module):
    """A residual unit that may double height and width by a transposed convolution."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        kernel = 3 if stride == 1 else 4
        self.main = nn.Sequential(
            nn.BatchNorm2d(width), nn.ReLU(),
            nn.ConvTranspose2d(width, width, kernel, stride, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip
        self.shortcut = nn.Identity() if stride == 1 else nn.Upsample(scale_factor=stride, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, h, w) to (N, width, stride · h, stride · w)."""
        return self.shortcut(x) + self.main(x)


class SelfAttention(nn.Module):
    """Every place asks every other (Zhang et al., SAGAN, 2019); at the symbols' resolution, where places are few."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(width, ATTENTION_WIDTH, 1)
        self.key = nn.Conv2d(width, ATTENTION_WIDTH, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, h, w) to the same shape; at first the identity."""
        # One head, as an axis of its own: the exporter knows attention by its four axes.
        query, key, value = (part(x).flatten(2).transpose(1, 2)[:, None] for part in (self.query, self.key, self.value))
        answer = F.scaled_dot_product_attention(query, key, value)[:, 0]
        return x + self.gain * answer.transpose(1, 2).reshape(x.shape)
