"""The recipe of our own codec: its transform in closed form, its gains by bisection, its tables by counting.

No gradient step is taken: the codec is ready after the backbone has seen a sample of frames forwards and backwards.
Owns the order of these steps.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cluster.codecs.isthmus import MAGNITUDES, Isthmus, IsthmusSetting
from cluster.codecs.task_transform import TaskTransform, task_transform
from cluster.training.context_tables import context_tables
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe
from wire.bitstream import HEADER_BYTES

GRADIENT_ROWS: Final = 960
COUNT_ROWS: Final = 384
JUDGED_ROWS: Final = 192
EXPANSIONS: Final = (1.0, 1.06, 1.12, 1.18)
"""What an inverse gain may be of the step: rounding to zero takes energy, and the tail misses it."""
BATCH: Final = 32
TEMPERATURE: Final = 3.0
"""Classes are drawn from answers softened so, since the training pictures show few of the classes."""
LOGIT_SHARE: Final = 0.15
"""How much the gradient of a random mix of all logits counts beside one of a drawn class's log-probability."""
BISECTIONS: Final = 16


class TaskTransformRecipe(Recipe):
    """Fits an ``Isthmus`` codec."""

    sample_rows = 4096

    def __init__(self, codec: Isthmus, tail: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(codec, tail, plan)
        self._codec = codec

    def begin(self, features: Tensor) -> None:
        """Find the transform, sort its coefficients into bands, and find each rate's gains."""
        codec = self._codec
        gradients = self._gradients(features)
        transform = task_transform(codec.patches(features), codec.patches(gradients))
        codec.set_transform(transform, _order(transform, codec, features))
        self._set_gains(features[:: max(1, len(features) // COUNT_ROWS)])

    def tables(self, batches: Iterable[Tensor]) -> dict[str, NDArray[np.uint16]]:
        """Count the magnitudes of every band at every rate, by what the bands before it came to at that position."""
        codec = self._codec
        with torch.inference_mode():
            latents = torch.cat([codec.encoder(batch) for batch in batches])
            levels = (codec.levels(latents, rate).to(torch.int8).cpu().numpy() for rate in range(len(codec.rates)))
            return {rate.name: context_tables(found) for rate, found in zip(codec.rates, levels, strict=True)}

    def _gradients(self, features: Tensor) -> Tensor:
        """Give gradients of the answer by the features: of drawn classes, and of all logits mixed at random."""
        generator = torch.Generator().manual_seed(self.plan.seed)
        found = []
        for part in torch.split(features[:: max(1, len(features) // GRADIENT_ROWS)], BATCH):
            inputs = part.detach().clone().requires_grad_()
            logits = self.tail(inputs)
            answers = logits.log_softmax(dim=1)
            softened = (logits.detach() / TEMPERATURE).softmax(dim=1).cpu()
            drawn = torch.multinomial(softened, 2, replacement=True, generator=generator).to(logits.device)
            mix = torch.randn(logits.shape, generator=generator).to(logits.device)
            mixed = LOGIT_SHARE * (logits * (mix - mix.mean(dim=1, keepdim=True))).sum()
            for target in (*(answers.gather(1, drawn[:, [k]]).sum() for k in range(2)), mixed):
                found.append(torch.autograd.grad(target, inputs, retain_graph=True)[0])
        return torch.cat(found)

    def _set_gains(self, features: Tensor) -> None:
        codec = self._codec
        setting = codec.setting
        assert isinstance(setting, IsthmusSetting)
        with torch.inference_mode():
            latents = torch.cat([codec.encoder(part) for part in torch.split(features, BATCH)])
            judged = features[:: max(1, len(features) // JUDGED_ROWS)]
            answers = torch.cat([self.tail(part) for part in torch.split(judged, BATCH)]).log_softmax(dim=1)
            told = torch.cat([codec.encoder(part) for part in torch.split(judged, BATCH)])
        for rate, wanted in enumerate(setting.target_bytes):
            step = self._step(latents, rate, (wanted - HEADER_BYTES) * 8)
            codec.gains[rate, 0] = 1 / step
            losses = {
                expansion: self._loss(codec.levels(told, rate) * (step * expansion), answers)
                for expansion in EXPANSIONS
            }
            codec.gains[rate, 1] = step * min(losses, key=lambda expansion: losses[expansion])

    def _loss(self, latents: Tensor, answers: Tensor) -> float:
        """Give the divergence of the answers to dequantised latents from log-probabilities."""
        total = 0.0
        with torch.inference_mode():
            for part, wanted in zip(torch.split(latents, BATCH), torch.split(answers, BATCH), strict=True):
                given = self.tail(self._codec.restore(part)).log_softmax(dim=1)
                total += float((wanted.exp() * (wanted - given)).sum())
        return total

    def _step(self, latents: Tensor, rate: int, wanted_bits: float) -> float:
        """Find the quantiser's step at which a frame takes so many bits."""
        low, high = 1e-3, 1e4
        for _ in range(BISECTIONS):
            middle = float(np.sqrt(low * high))
            self._codec.gains[rate, 0] = 1 / middle
            if _bits(self._codec.levels(latents, rate)) > wanted_bits:
                low = middle
            else:
                high = middle
        return high


def _order(transform: TaskTransform, codec: Isthmus, features: Tensor) -> Tensor:
    """List the coefficients to send: bands of falling energy, and in a band the slow waves before the fast ones.

    So that what lies at one position of the bands has something to do with one another.
    """
    patches = torch.split(codec.patches(features), BATCH)
    energy = sum(transform.coefficients(part, codec.kept).square().sum(dim=0) for part in patches)
    assert isinstance(energy, Tensor)
    strongest = energy.flatten().argsort(descending=True)[: int(np.prod(codec.symbol_shape))]
    bands = strongest.view(codec.symbol_shape[0], -1)
    waves = (bands % energy.shape[1]).argsort(dim=1, stable=True)
    return bands.gather(1, waves).flatten()


def _bits(levels: Tensor) -> float:
    """Give the bits of a frame by the bands' own entropy, signs included."""
    bands = levels.shape[1]
    magnitudes = levels.abs().transpose(0, 1).reshape(bands, -1).to(torch.int64)
    places = magnitudes + torch.arange(bands, device=levels.device)[:, None] * MAGNITUDES
    counts = torch.bincount(places.flatten(), minlength=bands * MAGNITUDES).view(bands, MAGNITUDES).double()
    share = counts / counts.sum(dim=1, keepdim=True)
    bits = -torch.xlogy(share, share).sum() / np.log(2) * levels[0, 0].numel()
    return float(bits) + float((levels != 0).sum()) / len(levels)
