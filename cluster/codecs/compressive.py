"""Offload-CS, a baseline of DeepCOD (Yao et al., SenSys 2020): compressive sensing of blocks, rebuilt by ISTA.

Each channel is cut into blocks of b × b values x; the device sends y = Φx, quantised to 8 bits, with orthonormal rows
Φ. The cluster looks for the sparse coefficients a in the basis of the discrete cosine transform for which ΦΨᵀa ≈ y,
by iterative shrinkage-thresholding (Daubechies, Defrise and De Mol, 2004): nothing is trained. Owns the setting.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from cluster.codecs.codec import Codec, Maps, Rate
from cluster.codecs.step_quantiser import StepQuantiser
from wire.errors import SettingError

MOST_BLOCK: Final = 8
ITERATIONS: Final = 30
FIRST_THRESHOLD: Final = 0.5
LAST_THRESHOLD: Final = 0.005
"""Thresholds as shares of a block's greatest coefficient; they fall from one to the other, so that few steps do."""
SEED: Final = 20


@dataclass(frozen=True, slots=True)
class CompressiveSetting:
    """How many numbers are sent, in percent of those that the tensor has."""

    percent: int

    @classmethod
    def parse(cls, text: str) -> "CompressiveSetting":
        """Read ``m25``.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"m([1-9]\d?)", text)
        if match is None:
            raise SettingError(
                f"{text!r} is no setting of offload-compressive", mend="write m25 for measurements of 25 %"
            )
        return cls(int(match[1]))

    def __str__(self) -> str:
        return f"m{self.percent}"


class Compressive(Codec):
    """Symbols are (N, C, measurements a block, blocks), uint8."""

    name = "offload-compressive"

    def __init__(self, shape: tuple[int, ...], setting: CompressiveSetting) -> None:
        super().__init__()
        block = _block(shape)
        if block is None:
            raise SettingError(
                f"offload-compressive does not fit a tensor of shape {shape}",
                mend=f"choose a point with a (C, H, W) tensor whose sides a number of 2 to {MOST_BLOCK} divides",
            )
        channels, height, width = shape
        measurements = max(1, round(setting.percent / 100 * block * block))
        self.setting, self.symbol_shape = setting, (channels, measurements, height * width // block**2)
        sensing = sensing_matrix(measurements, block * block)
        quantiser = StepQuantiser(8)
        self.encoder: Sensing = Sensing(sensing, block, quantiser)
        self.decoder: Ista = Ista(sensing, block, (channels, height, width), quantiser)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: Huffman codes."""
        return (Rate("huffman", "huffman"),)

    def quantised(self, features: Tensor) -> Tensor:
        """Give the quantised measurements as float32 that carry gradients."""
        return self.encoder.quantiser.straight_through(self.encoder.measured(features))

    def restore(self, levels: Tensor) -> Tensor:
        """Rebuild the features from their measurements."""
        return self.decoder(levels)

    def calibrate(self, features: Tensor) -> None:
        """Take the range of a sample's measurements for the quantiser."""
        self.encoder.quantiser.calibrate(self.encoder.measured(features))


class Sensing(nn.Module):
    """The device half: blocks to quantised measurements."""

    def __init__(self, sensing: Tensor, block: int, quantiser: StepQuantiser) -> None:
        super().__init__()
        self.block, self.quantiser = block, quantiser
        self.sensing: Tensor
        self.register_buffer("sensing", sensing, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Give the symbols (N, C, measurements, blocks), uint8."""
        return self.quantiser(self.measured(features))

    def measured(self, features: Tensor) -> Tensor:
        """Give y = Φx of every block."""
        count, channels, height, width = features.shape
        b = self.block
        blocks = features.reshape(count, channels, height // b, b, width // b, b).permute(0, 1, 3, 5, 2, 4)
        return self.sensing @ blocks.reshape(count, channels, b * b, -1)


class Ista(nn.Module):
    """The cluster half: a fixed number of iterations, so that it is one graph."""

    def __init__(self, sensing: Tensor, block: int, maps: Maps, quantiser: StepQuantiser) -> None:
        super().__init__()
        self.block, self.maps, self.quantiser = block, maps, quantiser
        basis = cosine_basis(block)
        self.synthesis: Tensor
        self.seen: Tensor
        # None is learned: the seed and the block's size say what they are, so no file holds them.
        self.register_buffer("synthesis", basis.T.contiguous(), persistent=False)
        self.register_buffer("seen", sensing @ basis.T, persistent=False)
        fall = (LAST_THRESHOLD / FIRST_THRESHOLD) ** (1 / (ITERATIONS - 1))
        self.thresholds = [FIRST_THRESHOLD * fall**step for step in range(ITERATIONS)]

    def forward(self, symbols: Tensor) -> Tensor:
        """Rebuild features (N, C, H, W), float32, from symbols (N, C, measurements, blocks)."""
        return self.rebuilt(self.quantiser.values(symbols.float()))

    def rebuilt(self, measured: Tensor) -> Tensor:
        """Rebuild features from measurements that were not quantised.

        a ← soft(a + (ΦΨᵀ)ᵀ(y − ΦΨᵀa), λ): the step is 1, since the rows of ΦΨᵀ are orthonormal.
        """
        first = self.seen.T @ measured
        peak = first.abs().amax(dim=2, keepdim=True)
        found = torch.zeros_like(first)
        for threshold in self.thresholds:
            moved = found + self.seen.T @ (measured - self.seen @ found)
            found = moved - torch.minimum(torch.maximum(moved, -threshold * peak), threshold * peak)
        channels, height, width = self.maps
        b = self.block
        blocks = (self.synthesis @ found).reshape(-1, channels, b, b, height // b, width // b)
        return blocks.permute(0, 1, 4, 2, 5, 3).reshape(-1, channels, height, width)


def sensing_matrix(measurements: int, size: int) -> Tensor:
    """Give Φ (measurements, size): the same seeded Gaussian matrix everywhere, its rows made orthonormal."""
    random = torch.Generator().manual_seed(SEED)
    gaussian = torch.randn(size, size, generator=random, dtype=torch.float64)
    return torch.linalg.qr(gaussian)[0].T[:measurements].float().contiguous()


def cosine_basis(side: int) -> Tensor:
    """Give Ψ (side², side²), whose rows are the orthonormal two-dimensional cosines of a block (DCT-II)."""
    at = torch.arange(side, dtype=torch.float64)
    line = torch.cos(math.pi * (at + 0.5) * at[:, None] / side) * math.sqrt(2 / side)
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float()


def _block(shape: tuple[int, ...]) -> int | None:
    if len(shape) != 3:
        return None
    fitting = (side for side in range(MOST_BLOCK, 1, -1) if not shape[1] % side and not shape[2] % side)
    return next(fitting, None)
