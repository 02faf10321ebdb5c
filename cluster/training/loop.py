"""The training loop: epochs over the rows, with learning rate, precision, moving average and checkpoints.

Owns the order of things. What is learned, and from which loss, is the recipe's; draws nothing on a screen, but tells
a listener.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cluster.codecs.codec import LATENT_CODERS
from cluster.training.average import WeightAverage
from cluster.training.checkpoint import save_checkpoint
from cluster.training.coder_tables import entropy_bits
from cluster.training.features import FeatureSource
from cluster.training.precision import Precision
from cluster.training.progress import Listener, Progress
from cluster.training.recipe import Recipe, Stage, Step
from wire.errors import CheckpointError

SAVE_EVERY_S: Final = 180.0
TELL_EVERY: Final = 10
"""Steps between two words to the listener."""
WARM_UP: Final = 100
"""Steps in which the learning rate rises from nothing."""


class TrainingLoop:
    """Trains what a recipe names on the rows ``trained``; ``held_out`` rows only tell how far it is.

    The recipe begins with the rows ``sample``.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: FeatureSource,
        trained: NDArray[np.int64],
        held_out: NDArray[np.int64],
        sample: NDArray[np.int64],
        *,
        folder: Path,
        identity: str,
        device: torch.device,
        listener: Listener,
    ) -> None:
        self._recipe, self._plan, self._source = recipe, recipe.plan, source
        self._trained, self._held_out, self._sample = trained, held_out, sample
        self._folder, self._identity, self._device, self._listener = folder, identity, device, listener
        self._module = nn.ModuleDict({"codec": recipe.codec, "extra": recipe.extra})
        self._parameters = [each for group in recipe.parameters() for each in group.parameters]
        self._optimizer = _optimizer(recipe)
        self._precision = Precision(device)
        self._average = WeightAverage(self._module, self._plan.average) if self._plan.average else None
        self._per_epoch = -(-len(trained) // self._plan.batch)
        self._epochs = sum(stage.epochs for stage in recipe.stages)
        self._step = 0
        self._agreement = math.nan
        self._saved_at = time.monotonic()

    def run(self, state: dict[str, Any] | None) -> None:
        """Train to the end, from the start or from a checkpoint's ``state``."""
        sample = self._source.batches(self._sample, self._plan.batch, self._device)
        self._recipe.begin(torch.cat([features for features, _ in sample]))
        if state is not None:
            self._restore(state)
        while self._step < self._steps:
            self._epoch(self._step // self._per_epoch)
            self._agreement = self._agree()
            self._save()
        if self._average is not None:
            self._average.apply()
        self._recipe.finish()

    @property
    def _steps(self) -> int:
        return self._epochs * self._per_epoch

    def _epoch(self, epoch: int) -> None:
        """Train the rows of one epoch that are still to come."""
        plan, start = self._plan, self._step % self._per_epoch
        stage, first = self._stage(epoch)
        rows = np.random.default_rng((plan.seed, epoch)).permutation(self._trained)[start * plan.batch :]
        self._module.train()
        for features, logits in self._source.batches(rows, plan.batch, self._device):
            if time.monotonic() - self._saved_at > SAVE_EVERY_S:
                self._save()
            for group in self._optimizer.param_groups:
                group["lr"] = group["scale"] * plan.learning_rate * _rise_and_fall(self._step, self._steps)
            fraction = (self._step - first) / (stage.epochs * self._per_epoch)
            with self._precision.forward():
                step = self._recipe.loss(features, logits, stage.name, fraction)
            self._precision.step(step.loss, self._optimizer, self._parameters, plan.clip)
            if self._average is not None:
                self._average.update()
            self._step += 1
            if (self._step - 1) % self._per_epoch % TELL_EVERY == 0:
                self._tell(stage, step, features)

    def _stage(self, epoch: int) -> tuple[Stage, int]:
        """Give the stage of an epoch, and the step at which it begins."""
        ends = accumulate(stage.epochs for stage in self._recipe.stages)
        stage, end = next((each, end) for each, end in zip(self._recipe.stages, ends, strict=True) if epoch < end)
        return stage, (end - stage.epochs) * self._per_epoch

    def _tell(self, stage: Stage, step: Step, features: torch.Tensor) -> None:
        size = self._estimate(step, features) / 8
        self._listener(Progress(stage.name, self._step, self._steps, step.loss.item(), size, self._agreement))

    def _estimate(self, step: Step, features: torch.Tensor) -> float:
        """Give the bits of a frame as the recipe says, or else by the entropy of the symbols."""
        if step.bits is not None:
            return float(step.bits)
        codec = self._recipe.codec
        if codec.rates[0].coder in LATENT_CODERS:
            return 32.0 * math.prod(codec.symbol_shape)
        with self._evaluating():
            return entropy_bits(codec.encoder(features), codec.alphabet)

    def _agree(self) -> float:
        """Give the share of held-out rows to which the split network gives the backbone's answer."""
        same = 0
        with self._evaluating(), self._average.applied() if self._average else nullcontext():
            for features, logits in self._source.batches(self._held_out, self._plan.batch, self._device):
                with self._precision.forward():
                    answer = self._recipe.answer(features)
                same += int((answer.argmax(1) == logits.argmax(1)).sum())
        return same / max(1, len(self._held_out))

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self._module.eval()
        with torch.no_grad():
            yield
        self._module.train()

    def _save(self) -> None:
        state: dict[str, Any] = {
            "module": self._module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self._precision.state_dict(),
            "average": self._average.state_dict() if self._average else None,
            "step": self._step,
            "agreement": self._agreement,
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }
        save_checkpoint(self._folder, self._identity, state)
        self._saved_at = time.monotonic()

    def _restore(self, state: dict[str, Any]) -> None:
        try:
            self._module.load_state_dict(state["module"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._precision.load_state_dict(state["precision"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            self._step, self._agreement = state["step"], state["agreement"]
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"the state in {self._folder} does not fit: {error}", mend="remove it to start again"
            ) from error
        torch.set_rng_state(state["random"].cpu())
        if state["random_gpu"] is not None and self._device.type == "cuda":
            torch.cuda.set_rng_state(state["random_gpu"].cpu(), self._device)


def _optimizer(recipe: Recipe) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": group.parameters, "scale": group.scale, "weight_decay": group.weight_decay}
        for group in recipe.parameters()
    ]
    return torch.optim.AdamW(groups, lr=recipe.plan.learning_rate)


def _rise_and_fall(step: int, steps: int) -> float:
    """Give the share of the learning rate: a short rise, then half a cosine down to nothing."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))
