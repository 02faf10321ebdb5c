"""Our own codec: the linear transform that is best for the tail, and six rates of the same weights.

Places and channels of a feature map are transformed by small matrices (``cluster.codecs.task_transform``); the
coefficients are sorted into bands of falling worth, quantised with the gains of a rate and coded by ``wire.rans``
with the band's own tables. On the cluster a network puts back what it can of what was rounded away
(``cluster.codecs.restorer``). Owns the modules and the gains. Knows nothing of training.
"""

import re
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from cluster.codecs.codec import Codec, Looks, Maps, Rate
from cluster.codecs.restorer import Restorer
from cluster.codecs.task_transform import TaskTransform, analysed, synthesised, wave_groups
from wire.errors import SettingError

SLOW_WAVES: Final = 64
"""All channels of so many waves are computed; of the faster ones as many as the setting says."""
RATES: Final = 6
RATE_STEP: Final = 2**-0.5
"""Each rate has this share of the bytes of the one above it."""
LOOKS: Final = (
    Looks(("r4", "r1"), (0.2,)),
    Looks(("r6", "r3"), (0.25,)),
    Looks(("r5", "r4", "r3"), (0.25, 0.1)),
    Looks(("r6", "r3", "r1"), (0.3, 0.15)),
    Looks(("r6", "r4", "r2"), (0.35, 0.2)),
    Looks(("r6", "r4", "r3"), (0.2, 0.05)),
)
"""The rates and leads that were best in a trial of many: the coarser the first look, the more often others pay."""
MAGNITUDES: Final = 64
"""A level has a magnitude below this; a rate's tables may have fewer, and its coder then clips to those."""


@dataclass(frozen=True, slots=True)
class IsthmusSetting:
    """So many bands of coefficients are sent, of s×s patches; the first rate aims at ``most_bytes`` a frame.

    ``fast_channels`` of every fast wave are computed, where it is not all: a lighter encoder. ``width`` is that of the
    restorer, where there is one.
    """

    bands: int
    stride: int
    most_bytes: int
    fast_channels: int | None = None
    width: int | None = None

    @classmethod
    def parse(cls, text: str) -> "IsthmusSetting":
        """Read ``k80-s2-b3500``, or with more of it ``k80-s2-b3500-c64-w224``.

        Raises:
            SettingError: the text is not of that form.
        """
        optional = r"(?:-c([1-9]\d{0,2}))?(?:-w([1-9]\d{0,3}))?"
        match = re.fullmatch(rf"k([1-9]\d{{0,2}})-s([12])-b([1-9]\d{{1,4}}){optional}", text)
        if match is None:
            raise SettingError(
                f"{text!r} is no setting of isthmus",
                mend="write it as k80-s2-b3500: 80 bands, patches of 2×2 (or 1), first rate of 3500 bytes a frame; "
                "with -c64 behind it for 64 channels of the fast waves, a lighter encoder; and with -w224 for a "
                "restorer of 224 channels, a better decoder",
            )
        return cls(*(int(number) if number else None for number in match.groups()))  # type: ignore[arg-type]

    def __str__(self) -> str:
        lighter = "" if self.fast_channels is None else f"-c{self.fast_channels}"
        better = "" if self.width is None else f"-w{self.width}"
        return f"k{self.bands}-s{self.stride}-b{self.most_bytes}{lighter}{better}"

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
        channels = shape[0] * stride**2
        if not fits or max(setting.bands, setting.fast_channels or 1) > channels:
            raise SettingError(
                f"isthmus {setting} does not fit a tensor of shape {shape}",
                mend="choose a point with a (C, H, W) tensor, a stride that divides H and W, and at most C·s·s bands "
                "and channels",
            )
        self.setting = setting
        self._stride = stride
        self.symbol_shape = (setting.bands, shape[1] // stride, shape[2] // stride)
        self.kept = kept_channels(channels, self.symbol_shape, setting.fast_channels)
        """How many channels of each group of waves are computed."""
        self.encoder = Encoder(channels, stride, self.symbol_shape, self.kept)
        restorer = None if setting.width is None else Restorer(shape[0], setting.width)
        self.decoder = Decoder(channels, stride, self.symbol_shape, self.kept, restorer)
        self.gains: Tensor
        self.register_buffer("gains", torch.ones(RATES, 2, setting.bands))

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The rates, most bytes first, named ``r1`` and up."""
        return tuple(Rate(f"r{index + 1}", "rans", gains=pair) for index, pair in enumerate(self.gains.cpu().numpy()))

    @property
    def looks(self) -> tuple[Looks, ...]:
        """Some coarse rates, each with finer ones."""
        return LOOKS

    def patches(self, features: Tensor) -> Tensor:
        """Put the s×s values of a patch into channels: (N, C·s·s, H/s, W/s)."""
        return _patches(features, self._stride)

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches; ``order`` (bands·h·w,) names the coefficients to send, most important first."""
        self.encoder.set_transform(transform, order)  # type: ignore[operator]
        self.decoder.set_transform(transform, order)  # type: ignore[operator]

    def set_gains(self, rate: int, step: float, inverse: float) -> None:
        """Round to multiples of ``step`` at a rate, and give each as so many times ``inverse``."""
        self.gains[rate, 0], self.gains[rate, 1] = 1 / step, inverse
        if rate == RATES - 1:
            self.decoder.coarsest.fill_(inverse)  # type: ignore[operator]

    def levels(self, latents: Tensor, rate: int | Tensor) -> Tensor:
        """Quantise latents (N, bands, h, w) at a rate, or each frame's at its own (N,), as the wire's codings do."""
        scaled = latents * self.gains[rate, 0][..., None, None]
        return scaled.round().clamp(1 - MAGNITUDES, MAGNITUDES - 1)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the latents as the first rate's decoder gets them; gradients pass straight through."""
        latents = self.encoder(features)
        told = self.levels(latents, 0) * self.gains[0, 1][:, None, None]
        return latents + (told - latents).detach()

    def told(self, features: Tensor, rates: Tensor) -> Tensor:
        """Give the latents as the decoder gets them, each frame's at its own of ``rates`` (N,); without gradients."""
        with torch.no_grad():
            return self.levels(self.encoder(features), rates) * self.gains[rates, 1][..., None, None]

    def restore(self, levels: Tensor) -> Tensor:
        """Restore features from dequantised latents."""
        restored: Tensor = self.decoder(levels)
        return restored


def kept_channels(channels: int, sent: Maps, fast: int | None) -> list[int]:
    """Give how many channels of each group of waves are computed: all of the slow, and ``fast`` of the others."""
    kept, wave = list[int](), 0
    for size in wave_groups(sent[1] * sent[2]):
        kept.append(channels if fast is None or wave < SLOW_WAVES else fast)
        wave += size
    return kept


class _Half(nn.Module):
    """What encoder and decoder have: the mean of the patches, and the matrices of one direction of the transform."""

    mean: Tensor
    """(1, C, 1, 1)."""
    places: Tensor
    """(P, P), to be multiplied from the right."""
    channels: Tensor
    """(groups of waves, C, C)."""

    def __init__(self, channels: int, stride: int, sent: Maps, kept: list[int]) -> None:
        super().__init__()
        self.stride, self.sent, self.kept = stride, sent, kept
        waves = sent[1] * sent[2]
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("places", torch.eye(waves))
        self.register_buffer("channels", torch.eye(channels).repeat(len(kept), 1, 1))

    def take(self, mean: Tensor, places: Tensor, channels: Tensor) -> None:
        self.mean.copy_(mean[:, None, None])
        self.places.copy_(places.T)
        self.channels.copy_(channels)


class Encoder(_Half):
    """The device half: a matrix over places, one over channels for each group of waves, and the choice of what is sent.

    ``order`` (bands·h·w,) has the numbers of the coefficients that are sent.
    """

    def __init__(self, channels: int, stride: int, sent: Maps, kept: list[int]) -> None:
        super().__init__(channels, stride, sent, kept)
        self.order: Tensor
        self.register_buffer("order", torch.arange(sent[0] * sent[1] * sent[2]))

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches of the stride's size, and the order of its coefficients."""
        self.take(transform.mean, transform.places.analysis, transform.channels.analysis)
        self.order.copy_(order)

    def forward(self, features: Tensor) -> Tensor:
        """Give latents (N, bands, h, w) of features (N, C, H, W)."""
        waves = (_patches(features, self.stride) - self.mean).flatten(2) @ self.places
        return analysed(self.channels, waves, self.kept).flatten(1).index_select(1, self.order).view(-1, *self.sent)


class Decoder(_Half):
    """The cluster half: the inverse of the encoder, with zeros for what was not sent, and then the restorer.

    ``source`` says where each coefficient lies among the latents; behind their end is a zero. ``coarsest`` is the step
    of the coarsest rate.
    """

    def __init__(self, channels: int, stride: int, sent: Maps, kept: list[int], restorer: Restorer | None) -> None:
        super().__init__(channels, stride, sent, kept)
        self.restorer = restorer
        self.source: Tensor
        self.coarsest: Tensor
        self.register_buffer("coarsest", torch.ones(()))
        self.register_buffer("source", torch.zeros(channels * len(self.places), dtype=torch.int64))

    def set_transform(self, transform: TaskTransform, order: Tensor) -> None:
        """Take a transform of patches of the stride's size, and the order of its coefficients."""
        self.take(transform.mean, transform.places.synthesis, transform.channels.synthesis)
        self.source.fill_(len(order))
        self.source[order] = torch.arange(len(order), device=order.device)

    def forward(self, latents: Tensor) -> Tensor:
        """Restore features (N, C, H, W) from dequantised latents (N, bands, h, w)."""
        sent = F.pad(latents.flatten(1), (0, 1))
        coefficients = sent.index_select(1, self.source).view(-1, self.channels.shape[1], len(self.places))
        values = synthesised(self.channels, coefficients, self.kept) @ self.places
        patches = values.view(-1, self.channels.shape[1], *self.sent[1:]) + self.mean
        features = F.pixel_shuffle(patches, self.stride) if self.stride > 1 else patches
        if self.restorer is None:
            return features
        restored: Tensor = self.restorer(features, self._coarseness(latents))
        return restored

    def _coarseness(self, latents: Tensor) -> Tensor:
        """Give the step that latents were rounded to, beside the coarsest; it is their least magnitude but 0."""
        magnitudes = latents.abs().flatten(1)
        step = torch.where(magnitudes > 0, magnitudes, self.coarsest).amin(dim=1)
        return (step / self.coarsest).clamp(max=1.0).view(-1, 1, 1, 1)


def _patches(features: Tensor, stride: int) -> Tensor:
    return F.pixel_unshuffle(features, stride) if stride > 1 else features
