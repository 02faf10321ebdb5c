"""What a recipe is: how one kind of codec is trained, in which stages, and with which loss.

Owns the interface between the training loop and the recipes, one file a recipe. A recipe sees features and logits;
where they come from, precision, checkpoints and the moving average are the loop's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cluster.codecs.codec import Codec
from cluster.training.coder_tables import coder_tables
from cluster.training.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the training with a loss of its own."""

    name: str
    epochs: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch came to: the loss, a scalar with gradients; and the mean bits of a frame, None where not known."""

    loss: Tensor
    bits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that learn alike: at ``scale`` times the plan's learning rate, with a weight decay."""

    parameters: list[nn.Parameter]
    scale: float = 1.0
    weight_decay: float = 1e-4


class Recipe:
    """Trains ``codec`` before ``tail``, which is frozen, in evaluation mode, and gives logits.

    What a recipe changes in the codec's module tree for training, it changes in ``__init__``, before a checkpoint is
    read, and changes back in ``finish``.
    """

    sample_rows: ClassVar[int] = 512
    """How many frames, spread over the pictures, ``begin`` is shown; without stages they also make the tables."""

    def __init__(self, codec: Codec, tail: nn.Module, plan: TrainingPlan) -> None:
        self.codec, self.tail, self.plan = codec, tail, plan
        self.extra = nn.ModuleDict()
        """Modules that train beside the codec: kept in checkpoints and averaged like it, but not in its file."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in their order; none for a codec that is only calibrated."""
        return ()

    def parameters(self) -> list[ParameterGroup]:
        """Everything that trains, each parameter once."""
        return [ParameterGroup([*self.codec.parameters(), *self.extra.parameters()])]

    def begin(self, features: Tensor) -> None:
        """Look at a sample of features (N, *shape), float32, before the first batch; the same after a resume."""
        self.codec.calibrate(features)

    def loss(self, features: Tensor, logits: Tensor, stage: str, fraction: float) -> Step:
        """Judge a batch of the backbone's features and its logits for them, ``fraction`` (0 to 1) into the stage."""
        raise NotImplementedError

    def answer(self, features: Tensor) -> Tensor:
        """Give the logits (N, classes) that the split network gives, as it is now."""
        return self.tail(self.codec(features))

    def finish(self) -> None:
        """Undo what only training needed, after the last batch; the codec is then as it will be used."""

    def tables(self, batches: Iterable[Tensor]) -> dict[str, NDArray[np.uint16]]:
        """Make the integer tables of every rate whose coder has some, from batches of features."""
        return coder_tables(self.codec, batches)
