"""The recipe of our own codec: its transform in closed form, its gains by bisection, its tables by counting.

Up to there no gradient step is taken: the codec could be used after the backbone has seen a sample of frames forwards
and backwards. Where it has a restorer, that is then trained by distillation: the answers to frames at random rates
shall be the backbone's own. Owns the order of these steps.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from cluster.codecs.isthmus import MAGNITUDES, Isthmus, IsthmusSetting
from cluster.codecs.task_transform import TaskTransform, task_transform
from cluster.training.context_tables import context_tables, refinement_tables
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe, Stage, Step
from wire.bitstream import HEADER_BYTES
from wire.refinement import MAX_SLOPE, slopes

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
RATE_SHARES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.25)
"""How often each rate is drawn to train the restorer: the coarse ones have more to restore."""
SOFTNESS: Final = 2.0
SOFT_SHARE: Final = 0.5
"""How much the divergence of softened answers counts beside that of the answers."""
MIDDLING: Final = 3
"""The rate that the held-out frames are answered at while the restorer trains: r4."""


class TaskTransformRecipe(Recipe):
    """Fits an ``Isthmus`` codec."""

    sample_rows = 4096

    def __init__(self, codec: Isthmus, tail: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(codec, tail, plan)
        self._codec = codec

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The restorer's, if there is one, as long as the plan says for distillation."""
        return () if self._setting.width is None else (Stage("restore", self.plan.distil_epochs),)

    @property
    def _setting(self) -> IsthmusSetting:
        setting = self._codec.setting
        assert isinstance(setting, IsthmusSetting)
        return setting

    def begin(self, features: Tensor) -> None:
        """Find the transform, sort its coefficients into bands, and find each rate's gains."""
        codec = self._codec
        gradients = self._gradients(features)
        transform = task_transform(codec.patches(features), codec.patches(gradients))
        codec.set_transform(transform, _order(transform, codec, features))
        self._set_gains(features[:: max(1, len(features) // COUNT_ROWS)])

    def loss(self, features: Tensor, logits: Tensor, stage: str, fraction: float) -> Step:
        """Compare the answers to what is told of each frame at a random rate."""
        shares = torch.tensor(RATE_SHARES, device=features.device)
        rates = torch.multinomial(shares, len(features), replacement=True)
        given = self._answered(features, rates)
        wanted = 8 * torch.tensor(self._setting.target_bytes)[rates.cpu()].mean()
        return Step(divergence(given, logits) + SOFT_SHARE * divergence(given, logits, SOFTNESS), wanted)

    def answer(self, features: Tensor) -> Tensor:
        """Give the logits at a middling rate, where the restorer has something to do."""
        return self._answered(features, torch.full((len(features),), MIDDLING, device=features.device))

    def _answered(self, features: Tensor, rates: Tensor) -> Tensor:
        return self.tail(self._codec.restore(self._codec.told(features, rates)))

    def tables(self, batches: Iterable[Tensor]) -> dict[str, NDArray[np.uint16]]:
        """Count the magnitudes of every band at every rate, by what the bands before it came to at that position."""
        codec = self._codec
        with torch.inference_mode():
            latents = torch.cat([codec.encoder(batch) for batch in batches])
            levels = {
                rate.name: codec.levels(latents, number).to(torch.int8).cpu().numpy()
                for number, rate in enumerate(codec.rates)
            }
        tables = {rate: context_tables(found) for rate, found in levels.items()}
        gains = {rate.name: rate.gains[0] for rate in codec.rates if rate.gains is not None}
        for step, coarse, fine in dict.fromkeys(step for looks in codec.looks for step in looks.steps):
            apart = slopes(gains[fine], gains[coarse])
            if apart.min() > 0 and apart.max() <= MAX_SLOPE:
                pair = levels[fine].astype(np.int32), levels[coarse].astype(np.int32)
                tables[step] = refinement_tables(*pair, apart)
        return tables

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
        with torch.inference_mode():
            latents = torch.cat([codec.encoder(part) for part in torch.split(features, BATCH)])
            judged = features[:: max(1, len(features) // JUDGED_ROWS)]
            answers = torch.cat([self.tail(part) for part in torch.split(judged, BATCH)]).log_softmax(dim=1)
            told = torch.cat([codec.encoder(part) for part in torch.split(judged, BATCH)])
        for rate, wanted in enumerate(self._setting.target_bytes):
            step = self._step(latents, rate, (wanted - HEADER_BYTES) * 8)
            codec.set_gains(rate, step, step)
            losses = {
                expansion: self._loss(codec.levels(told, rate) * (step * expansion), answers)
                for expansion in EXPANSIONS
            }
            codec.set_gains(rate, step, step * min(losses, key=lambda expansion: losses[expansion]))

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


def divergence(given: Tensor, wanted: Tensor, softness: float = 1.0) -> Tensor:
    """Give the mean Kullback-Leibler divergence of answers by their logits (N, classes), softened (Hinton, 2015)."""
    ours, theirs = (logits.float().div(softness).log_softmax(dim=1) for logits in (given, wanted))
    return F.kl_div(ours, theirs, reduction="batchmean", log_target=True) * softness**2


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
