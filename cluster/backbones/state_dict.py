"""Weights of a user's own: reading a checkpoint, fitting it to a network, and stated random weights instead of one.

Owns the way into a network. Nothing is unpickled: a checkpoint may hold tensors only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from wire.errors import CheckpointError

SHOWN: Final = 3
"""So many tensors of each kind of difference are named in an error."""
WRAPPERS: Final = ("state_dict", "model")
"""Under these names training scripts store the weights beside their optimiser."""
COUNTER: Final = "num_batches_tracked"
"""What batch normalisation counts in training; checkpoints from before PyTorch 0.4.1 lack it, and nobody misses it."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or whatever ``torch.save`` wrote of tensors only.

    Raises:
        CheckpointError: there is no such file, or it is no state dict.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}", mend="give a .pth, .pt or .safetensors file")
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a file may hold anything, and the unpickler raises nearly anything
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint: {type(error).__name__}: {_first_sentence(error)}",
            mend="save the tensors alone: torch.save(network.state_dict(), path)",
        ) from error
    return _without_prefix(_tensors(content, path))


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path} holds something else than named tensors", mend="save them: torch.save(network.state_dict(), path)"
        )
    return dict(content)


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop the ``module.`` that ``DataParallel`` puts before every name."""
    wrapped = bool(tensors) and all(name.startswith("module.") for name in tensors)
    return {name.removeprefix("module."): value for name, value in tensors.items()} if wrapped else tensors


def fit(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str, name: str) -> None:
    """Make ``tensors`` the weights of ``network``, which may be on the meta device: every one or none.

    ``source`` and ``name`` say in an error what does not fit what.

    Raises:
        CheckpointError: a tensor is missing, is unexpected, or has another shape.
    """
    wanted = network.state_dict()
    given = {key: torch.zeros_like(value, device="cpu") for key, value in wanted.items() if key.endswith(COUNTER)}
    given.update(tensors)
    missing = [key for key in wanted if key not in given]
    unexpected = [key for key in given if key not in wanted]
    shapes = [
        f"{key} is {_shape(given[key])}, not {_shape(value)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    differences = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    said = "; ".join(f"{len(keys)} {kind} ({_few(keys)})" for kind, keys in differences.items() if keys)
    if said:
        raise CheckpointError(
            f"{source} does not fit {name}: of its tensors {said}",
            mend=f"give a checkpoint of {name}; for a network that differs from it, write a function of your own "
            "(docs/backbones.md)",
        )
    network.load_state_dict({key: value.to(wanted[key].dtype) for key, value in given.items()}, assign=True)


def fill_randomly(network: nn.Module, *, seed: int = 0) -> None:
    """Give a network on the meta device memory and random weights, the same for the same seed.

    Their variance is 1/fan-in (LeCun et al., 1998): with larger ones and no batch statistics to hold them, what the
    residual units of ResNet-101 add up would not fit float16.
    """
    network.to_empty(device="cpu")
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=random)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def _few(names: list[str]) -> str:
    return ", ".join([*names[:SHOWN], "…"] if len(names) > SHOWN else names)


def _first_sentence(error: Exception) -> str:
    """Cut off the advice of torch.load, which is to trust the file."""
    return str(error).partition(". ")[0].partition("\n")[0]
