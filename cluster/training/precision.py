"""Mixed precision where it helps: bfloat16 or float16 on a GPU, float32 on a processor.

Owns the choice, and the scaling of gradients that float16 needs.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


class Precision:
    """How the forward pass computes on a device."""

    def __init__(self, device: torch.device) -> None:
        gpu = device.type == "cuda"
        self._device, self._gpu = device, gpu
        self._dtype = torch.bfloat16 if gpu and torch.cuda.is_bf16_supported() else torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=gpu and self._dtype is torch.float16)

    def forward(self) -> AbstractContextManager[Any]:
        """Give the context for a forward pass."""
        return torch.autocast(self._device.type, self._dtype, enabled=self._gpu)

    def step(
        self, loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], clip: float | None
    ) -> None:
        """Take a step down the gradient of ``loss``, whose norm is at most ``clip``."""
        optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, clip)
        self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Give the scale for a checkpoint; empty where nothing is scaled."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with a checkpoint's scale."""
        if state:
            self._scaler.load_state_dict(state)
