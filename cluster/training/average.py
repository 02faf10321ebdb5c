"""The moving average of weights, which often answers better than the weights themselves (Polyak and Juditsky, 1992).

Owns the averaged copy.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages all of a module's floating-point state, running statistics included; copies the rest."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module, self._decay = module, decay
        self._steps = 0
        self._averaged = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    def update(self) -> None:
        """Take the module's weights after a step into the average."""
        self._steps += 1
        # The first steps count more, or the average would long remember how the module began.
        decay = min(self._decay, self._steps / (self._steps + 10))
        with torch.no_grad():
            for name, tensor in self._module.state_dict().items():
                if tensor.is_floating_point():
                    self._averaged[name].lerp_(tensor, 1 - decay)
                else:
                    self._averaged[name].copy_(tensor)

    def apply(self) -> None:
        """Put the average into the module for good."""
        self._module.load_state_dict(self._averaged)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the module for a while."""
        own = {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            self._module.load_state_dict(own)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """Give the average for a checkpoint."""
        return {"steps": self._steps, "averaged": self._averaged}

    def load_state_dict(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        """Go on from a checkpoint's average."""
        steps, averaged = state["steps"], state["averaged"]
        assert isinstance(steps, int)
        assert isinstance(averaged, dict)
        self._steps = steps
        for name, tensor in averaged.items():
            self._averaged[name].copy_(tensor)
