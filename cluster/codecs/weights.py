"""Trained codecs on disk: one ``.safetensors`` file a codec, with its coder tables and gains.

A file holds the codec's own state by name, ``tables.RATE`` and ``gains.RATE`` for the rates that have them, and
``tail.NAME`` for the weights of an adapted tail. Owns the files and their names. Knows nothing of training or bundles.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cluster.codecs.codec import Codec, Looks, Rate
from cluster.codecs.registry import build_codec
from cluster.tensor_digest import tensor_digest
from cluster.whole_file import write_whole
from wire.errors import CheckpointError, SettingError

SHIPPED: Final = Path(__file__).parent / "weights"
TABLES: Final = "tables."
GAINS: Final = "gains."
TAIL: Final = "tail."
OLD_TABLES: Final = "tables"
"""The name of the one array of tables in files from when a codec had one rate, with Huffman codes."""
NOTE: Final = "isthmus"
"""The key under which a weights file says which codec it is."""


@dataclass(frozen=True, slots=True)
class CodecKey:
    """Which codec: of which backbone, at which point, of which kind and setting."""

    backbone: str
    point: str
    codec: str
    setting: str

    def __str__(self) -> str:
        return f"{self.point} {self.codec} {self.setting}"

    def path(self, folder: Path) -> Path:
        """Name its weights file below ``folder``."""
        return folder / self.backbone / f"{self.point}.{self.codec}-{self.setting}.safetensors"


@dataclass(frozen=True, slots=True)
class TrainedCodec:
    """A codec with its weights, in evaluation mode, and what its file holds beside them."""

    key: CodecKey
    module: Codec
    rates: tuple[Rate, ...]
    """With the gains of the file."""
    rate_tables: dict[str, NDArray[np.uint16]]
    """The coder's integer tables by rate, for the rates whose coder has some."""
    digest: str

    @property
    def looks(self) -> tuple[Looks, ...]:
        """Those of the module that can be used: rates too far apart have no tables by one another."""
        known = self.rate_tables
        return tuple(looks for looks in self.module.looks if all(step in known for step, _, _ in looks.steps))


def save_codec(folder: Path, key: CodecKey, module: Codec, tables: Mapping[str, NDArray[np.uint16]]) -> Path:
    """Write a trained codec with its tables by rate, its large weights as float16; a reader never sees half a file.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = key.path(folder)
    tensors = {name: _small(name, tensor) for name, tensor in module.state_dict().items()}
    tensors |= {f"{TABLES}{rate}": torch.from_numpy(array.astype(np.int32)) for rate, array in tables.items()}
    gains = {rate.name: rate.gains for rate in module.rates if rate.gains is not None}
    tensors |= {f"{GAINS}{rate}": torch.from_numpy(array.copy()) for rate, array in gains.items()}
    tensors |= {f"{TAIL}{name}": _small(name, tensor) for name, tensor in (module.tail_delta or {}).items()}
    # One entry: safetensors writes several in a random order, and equal weights shall give equal files.
    note = json.dumps({"point": key.point, "codec": key.codec, "setting": key.setting}, sort_keys=True)
    return write_whole(path, save(tensors, metadata={NOTE: note}))


def load_codec(folder: Path, key: CodecKey, shape: tuple[int, ...]) -> TrainedCodec:
    """Read a trained codec for the tensor ``shape`` (C, H, W) at its point.

    Raises:
        CheckpointError: there is no such file, or it does not fit.
    """
    path = key.path(folder)
    # The name of a backbone does not say where its weights are, as resnet50:PATH does.
    train = (
        f"isthmus train --backbone SPEC --point {key.point} --codec {key.codec} --setting {key.setting}, "
        f"where SPEC is what you load {key.backbone} by"
    )
    if not path.is_file():
        raise CheckpointError(f"there is no trained codec {path.name} in {path.parent}", mend=f"train it: {train}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        digest = tensor_digest(tensors)
        module = build_codec(key.codec, key.setting, shape)
        if OLD_TABLES in tensors:
            tensors[f"{TABLES}huffman"] = tensors.pop(OLD_TABLES)
        tables, gains, tail = (_taken(tensors, prefix) for prefix in (TABLES, GAINS, TAIL))
        module.tail_delta = {name: tensor.float() for name, tensor in tail.items()} or None
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        rates = tuple(_with_gains(rate, gains.get(rate.name)) for rate in module.rates)
        rate_tables = {rate: tensor.numpy().astype(np.uint16) for rate, tensor in tables.items()}
    except (SafetensorError, RuntimeError, KeyError, SettingError) as error:
        raise CheckpointError(f"{path} does not fit: {error}", mend=f"train it again: {train}") from error
    return TrainedCodec(key, module.eval(), rates, rate_tables, digest)


def round_as_stored(module: Codec) -> None:
    """Round a codec's weights as its file will hold them, so that what is counted with it is true of the file."""
    module.load_state_dict({name: _small(name, tensor).float() for name, tensor in module.state_dict().items()})


def shipped_keys(folder: Path, backbone: str) -> list[CodecKey]:
    """List the trained codecs of a backbone.

    Raises:
        CheckpointError: there is none.
    """
    keys = []
    for path in sorted((folder / backbone).glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                note = json.loads((file.metadata() or {})[NOTE])
            keys.append(CodecKey(backbone, note["point"], note["codec"], note["setting"]))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} is no trained codec: {error!r}", mend="remove it or train it again"
            ) from error
    if not keys:
        raise CheckpointError(f"no codec of {backbone} is trained in {folder}", mend="train one: isthmus train --help")
    return keys


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix, and give them without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}


def _with_gains(rate: Rate, gains: Tensor | None) -> Rate:
    return rate if gains is None else replace(rate, gains=gains.numpy())


def _small(name: str, tensor: Tensor) -> Tensor:
    """Halve the weights of convolutions and transforms; statistics and ranges may not fit float16, and are small."""
    kept = tensor.half() if name.endswith(("weight", ".channels")) and tensor.dim() in (3, 4) else tensor
    # Encoder and decoder may share a tensor, which safetensors refuses to write twice.
    return kept.detach().cpu().contiguous().clone()
