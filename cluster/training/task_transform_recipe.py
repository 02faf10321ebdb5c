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
from cluster.codecs.task_transform import task_transform
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe
from wire.bitstream import HEADER_BYTES
from wire.rans_tables import integer_tables

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
COUNT_WEIGHT: Final = 16


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
        shape = codec.patches(features[:1]).shape[1:]
        spread = torch.zeros(shape[0], shape[1] * shape[2])
        for part in torch.split(features, BATCH):
            centred = (codec.patches(part) - transform.mean[:, None, None]).flatten(2)
            coefficients = transform.channels.analysis @ centred @ transform.places.analysis.T
            spread += coefficients.square().sum(dim=0)
        order = spread.flatten().argsort(descending=True)[: int(np.prod(codec.symbol_shape))]
        codec.set_transform(transform, order)
        self._set_gains(features[:: max(1, len(features) // COUNT_ROWS)])

    def tables(self, batches: Iterable[Tensor]) -> dict[str, NDArray[np.uint16]]:
        """Count the magnitudes of every band at every rate."""
        codec = self._codec
        bands = codec.symbol_shape[0]
        counts = np.zeros((len(codec.rates), bands, MAGNITUDES), np.int64)
        with torch.inference_mode():
            for batch in batches:
                latents = codec.encoder(batch)
                for rate in range(len(codec.rates)):
                    counts[rate] += _magnitude_counts(codec.levels(latents, rate))
        bounds = np.zeros((bands, 1), np.int64)
        return {
            rate.name: integer_tables(_smoothed(table)[:, None, :], bounds)
            for rate, table in zip(codec.rates, counts, strict=True)
        }

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
        for rate, wanted in enumerate(setting.target_bytes):
            step = self._step(latents, rate, (wanted - HEADER_BYTES) * 8)
            codec.gains[rate, 0] = 1 / step
            losses = {expansion: self._loss(judged, answers, rate, step * expansion) for expansion in EXPANSIONS}
            codec.gains[rate, 1] = step * min(losses, key=lambda expansion: losses[expansion])

    def _loss(self, features: Tensor, answers: Tensor, rate: int, inverse: float) -> float:
        """Give the divergence of the split network's answers from log-probabilities, with an inverse gain."""
        total = 0.0
        with torch.inference_mode():
            for part, wanted in zip(torch.split(features, BATCH), torch.split(answers, BATCH), strict=True):
                restored = self._codec.restore(self._codec.levels(self._codec.encoder(part), rate) * inverse)
                given = self.tail(restored).log_softmax(dim=1)
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


def _bits(levels: Tensor) -> float:
    """Give the bits of a frame by the bands' own entropy, signs included."""
    counts = _smoothed(_magnitude_counts(levels)).astype(np.float64)
    share = counts / counts.sum(axis=1, keepdims=True)
    bits = -(share * np.log2(share)).sum() * levels[0, 0].numel()
    return float(bits) + float((levels != 0).sum()) / len(levels)


def _magnitude_counts(levels: Tensor) -> NDArray[np.int64]:
    bands = levels.shape[1]
    magnitudes = levels.abs().transpose(0, 1).reshape(bands, -1).to(torch.int64)
    places = magnitudes + torch.arange(bands, device=levels.device)[:, None] * MAGNITUDES
    counts = torch.bincount(places.flatten(), minlength=bands * MAGNITUDES)
    return counts.reshape(bands, MAGNITUDES).cpu().numpy()


def _smoothed(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give every magnitude a little, falling with its size: what a sample does not show may still come."""
    return counts * COUNT_WEIGHT * MAGNITUDES + MAGNITUDES // np.arange(1, MAGNITUDES + 1)
