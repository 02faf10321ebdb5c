"""Distillation from the backbone itself; no label is needed.

First the restored features shall equal the head's, then the tail's answer to them shall equal the backbone's. Owns
the loss; BottleNet is trained so, and with the first stage alone the autoencoder, which knows no tail.
"""

from typing import Final

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from cluster.codecs.codec import Codec
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe, Stage, Step

TEMPERATURE: Final = 2.0
LOGIT_WEIGHT: Final = 2.0
SETTLED: Final = 0.5
"""The share of the distillation after which the quantiser's ranges hold still."""


class Distillation(Recipe):
    """Reconstruction, then the answers of the tail."""

    def __init__(self, codec: Codec, tail: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(codec, tail, plan)
        self._scale = 1.0

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Reconstruction and distillation, as long as the plan says."""
        return Stage("reconstruct", self.plan.reconstruct_epochs), Stage("distil", self.plan.distil_epochs)

    def begin(self, features: Tensor) -> None:
        """Note how much the features vary, so that the loss does not depend on their unit."""
        super().begin(features)
        self._scale = variance(features)

    def loss(self, features: Tensor, logits: Tensor, stage: str, fraction: float) -> Step:
        """Compare features; in the second stage, the answers too."""
        self.codec.track_ranges(on=stage == "reconstruct" or fraction < SETTLED)
        restored = self.codec(features)
        loss = F.mse_loss(restored, features) / self._scale + self.codec.regulariser()
        if stage == "distil":
            loss = loss + answers_apart(self.tail(restored), logits)
        return Step(loss)


class Reconstruction(Distillation):
    """The first stage alone, for as long as the plan gives both."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage; its ranges hold still at the end of it."""
        return (Stage("reconstruct", self.plan.reconstruct_epochs + self.plan.distil_epochs),)

    def loss(self, features: Tensor, logits: Tensor, stage: str, fraction: float) -> Step:
        """Compare features."""
        self.codec.track_ranges(on=fraction < SETTLED)
        return Step(F.mse_loss(self.codec(features), features) / self._scale + self.codec.regulariser())


def variance(features: Tensor) -> float:
    """Give the variance of a sample, never nothing."""
    return max(1e-6, float(features.var()))


def answers_apart(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare two (N, classes) logits: softened answers (Hinton, Vinyals and Dean, 2015), and every logit.

    The training pictures show few of the classes; the squared error of all logits keeps what tells the rest apart.
    """
    student = student.float()
    wanted = F.softmax(teacher / TEMPERATURE, dim=1)
    given = F.log_softmax(student / TEMPERATURE, dim=1)
    softened = F.kl_div(given, wanted, reduction="batchmean") * TEMPERATURE**2
    return softened + LOGIT_WEIGHT * F.mse_loss(student, teacher) / teacher.var()
