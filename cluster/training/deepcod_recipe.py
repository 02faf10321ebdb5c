"""DeepCOD's own training (Yao et al., SenSys 2020): reconstruction, then distillation at every later stage.

Owns the losses: in both stages the regulariser that keeps the encoder orthonormal (equation 10); in the second the
features of all later stages of the tail, summed (equation 11).
"""

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from cluster.codecs.codec import Codec
from cluster.codecs.deepcod import DeepCod
from cluster.training.distillation import variance
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe, Stage, Step
from cluster.training.tail_stages import tail_stages

ORTHOGONAL_WEIGHT: Final = 0.1


class DeepCodRecipe(Recipe):
    """Two stages; the decoder's convolutions are spectrally normalised throughout."""

    def __init__(self, codec: Codec, tail: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(codec, tail, plan)
        if not isinstance(codec, DeepCod):
            raise TypeError(f"this recipe trains deepcod, not {codec.name}")
        self._deepcod = codec
        self._deepcod.normalise_spectra()
        self._later: list[nn.Module] = []
        self._scales: list[float] = []

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Reconstruction and distillation, as long as the plan says."""
        return Stage("reconstruct", self.plan.reconstruct_epochs), Stage("distil", self.plan.distil_epochs)

    def begin(self, features: Tensor) -> None:
        """Cut the tail into its stages, and note how much the features of each vary."""
        super().begin(features)
        self._later = tail_stages(self.tail, features[:1])
        with torch.no_grad():
            self._scales = [variance(features), *(variance(each) for each in self._walk(features))]

    def loss(self, features: Tensor, logits: Tensor, stage: str, fraction: float) -> Step:
        """Compare features: at the point, or at all the later stages, each by its own variance."""
        restored = self.codec(features)
        loss = ORTHOGONAL_WEIGHT * self.codec.regulariser()
        if stage == "reconstruct":
            return Step(loss + F.mse_loss(restored, features) / self._scales[0])
        with torch.no_grad():
            wanted = self._walk(features)
        given = self._walk(restored)
        for ours, theirs, scale in zip(given, wanted, self._scales[1:], strict=True):
            loss = loss + F.mse_loss(ours.float(), theirs.float()) / scale
        return Step(loss)

    def finish(self) -> None:
        """Make the normalised convolutions plain ones."""
        self._deepcod.fold_spectra()

    def _walk(self, features: Tensor) -> list[Tensor]:
        """Give what every stage of the tail makes of features; the last are the logits."""
        found = []
        for part in self._later:
            features = part(features)
            found.append(features)
        return found
