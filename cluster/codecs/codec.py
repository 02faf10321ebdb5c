"""What every codec is: an encoder for the device, a decoder for the cluster, and the rates at which it can be used.

Owns the interface that training, bundles and measurements share. Knows no codec in particular.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar, Final, Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wire.errors import SettingError

CoderName = Literal["huffman", "rans", "raw", "float32", "jpeg", "png", "webp"]
LATENT_CODERS: Final = frozenset({"rans", "float32"})
"""Those that take float32; the others take uint8 symbols."""
Maps = tuple[int, int, int]
"""Channels, height and width."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One operating level of a codec: what codes its symbols, and how finely. One option of a bundle."""

    name: str
    coder: CoderName
    quality: int | None = None
    """Of jpeg and webp, 1 to 100."""
    gains: NDArray[np.float32] | None = field(default=None, compare=False)
    """Of rans, float32 (2, C): what each channel is multiplied by before it is rounded, and after it is decoded."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Rates of which each refines the one before it, as long as the answer's best class leads by less than its lead.

    There are two ``rates`` or more, and a lead for each but the first.
    """

    rates: tuple[str, ...]
    leads: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name it as a rate of its own."""
        return "+".join(self.rates)

    @property
    def steps(self) -> tuple[tuple[str, str, str], ...]:
        """List its refinements: the name that their coder tables are filed by, the rate, and the finer one."""
        return tuple((f"{rate}+{finer}", rate, finer) for rate, finer in pairwise(self.rates))


class Setting(Protocol):
    """How far a codec reduces; ``str`` gives the text from which the codec's own setting class reads it again."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class OnlySetting:
    """The setting of codecs that leave no choice: each kind of them names its one ``text``, and whose it is."""

    text: ClassVar[str]
    owner: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the one text.

        Raises:
            SettingError: the text is anything else.
        """
        if text != cls.text:
            raise SettingError(f"{text!r} is no setting of {cls.owner}", mend=f"the only one is {cls.text}")
        return cls()

    def __str__(self) -> str:
        return self.text


class Codec(nn.Module):
    """Encoder and decoder for the tensor at one point; built from the tensor's shape and the codec's own setting."""

    name: ClassVar[str]
    setting: Setting
    symbol_shape: Maps
    """Channels, height and width of what the device graph gives for one frame."""
    alphabet: int = 256
    """How many values a uint8 symbol can have."""
    encoder: nn.Module
    """Features float32 (N, *shape) to what the coder takes (N, *symbol_shape); exported behind the head."""
    decoder: nn.Module
    """What the coder gives back, (N, *symbol_shape), to features float32; exported before the tail."""
    tail_delta: dict[str, Tensor] | None = None
    """Weights of the tail, by name, that were adapted to this decoder; None where the tail is the backbone's own."""

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The rates that these weights can be used at."""
        raise NotImplementedError

    @property
    def looks(self) -> tuple[Looks, ...]:
        """The rates that are worth an option of their own together."""
        return ()

    @property
    def symbol_dtype(self) -> torch.dtype:
        """What the encoder gives and the decoder takes: uint8, or float32 for coders that quantise by themselves."""
        return torch.float32 if self.rates[0].coder in LATENT_CODERS else torch.uint8

    def quantised(self, features: Tensor) -> Tensor:
        """Give what the decoder would be told of ``features``, float32, with gradients (straight-through)."""
        raise NotImplementedError

    def restore(self, levels: Tensor) -> Tensor:
        """Give features (N, *shape) from what ``quantised`` gave, with gradients."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """Encode, quantise and decode (N, *shape), float32; the quantiser passes gradients straight through."""
        return self.restore(self.quantised(features))

    def calibrate(self, features: Tensor) -> None:
        """Set what depends on the data, such as ranges, from a sample of features; called once, before training."""

    def track_ranges(self, *, on: bool) -> None:
        """Let the ranges of the quantiser follow the features in training, or hold them where they are."""

    def regulariser(self) -> Tensor:
        """Give what the codec adds to any loss: a scalar."""
        return torch.zeros(())


def as_maps(shape: tuple[int, ...], codec: str) -> Maps:
    """Give a tensor's channels, height and width; a vector is so many channels of one value.

    Raises:
        SettingError: the tensor is neither.
    """
    if len(shape) not in (1, 3):
        raise SettingError(
            f"{codec} does not fit a tensor of shape {shape}", mend="choose a point with a (C, H, W) tensor or a vector"
        )
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, 1)
