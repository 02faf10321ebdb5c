"""Trained codecs on disk: one ``.safetensors`` file a codec, with its coder tables, and what was measured of it.

Owns the files and their names. Knows nothing of training or bundles.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cluster.codecs.bottlenet import BottleNet, BottleNetSetting
from cluster.tensor_digest import tensor_digest
from wire.errors import CheckpointError, SettingError, WireError
from wire.manifest import Measured
from wire.records import from_plain, to_plain

SHIPPED: Final = Path(__file__).parent / "weights"
TABLES: Final = "tables"
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
    """A codec with its weights, in evaluation mode, and the integer frequency tables (c′, 256) of its symbols."""

    key: CodecKey
    module: BottleNet
    tables: NDArray[np.uint16]
    digest: str


def save_codec(folder: Path, key: CodecKey, module: BottleNet, tables: NDArray[np.uint16]) -> Path:
    """Write a trained codec, its convolutions as float16; a reader never sees half a file."""
    path = key.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: _small(name, tensor) for name, tensor in module.state_dict().items()}
    tensors[TABLES] = torch.from_numpy(tables.astype(np.int32))
    partial = path.with_name(f".{path.name}.partial")
    # One entry: safetensors writes several in a random order, and equal weights shall give equal files.
    note = json.dumps({"point": key.point, "codec": key.codec, "setting": key.setting}, sort_keys=True)
    try:
        save_file(tensors, partial, metadata={NOTE: note})
        partial.chmod(0o644)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path} cannot be written: {error}", mend="free some space and run again") from error
    return path


def load_codec(folder: Path, key: CodecKey, shape: tuple[int, ...]) -> TrainedCodec:
    """Read a trained codec for the tensor ``shape`` (C, H, W) at its point.

    Raises:
        CheckpointError: there is no such file, or it does not fit.
    """
    path = key.path(folder)
    train = f"isthmus train --backbone {key.backbone} --point {key.point} --setting {key.setting}"
    if not path.is_file():
        raise CheckpointError(f"there is no trained codec {path.name} in {path.parent}", mend=f"train it: {train}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        digest = tensor_digest(tensors)
        module = BottleNet(shape, BottleNetSetting.parse(key.setting))
        tables = tensors.pop(TABLES).numpy().astype(np.uint16)
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (SafetensorError, RuntimeError, KeyError, SettingError) as error:
        raise CheckpointError(f"{path} does not fit: {error}", mend=f"train it again: {train}") from error
    return TrainedCodec(key, module.eval(), tables, digest)


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


def save_measured(folder: Path, key: CodecKey, subject: str, measured: Measured) -> Path:
    """Write what was measured of a codec beside its weights; ``subject`` is the SHA-256 of what was measured."""
    path = key.path(folder).with_suffix(".json")
    record: dict[str, Any] = {"subject_sha256": subject, "measured": to_plain(measured)}
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def load_measured(folder: Path, key: CodecKey, subject: str) -> Measured:
    """Read what was measured of a codec.

    Raises:
        CheckpointError: nothing was measured, or it was measured with other weights.
    """
    path = key.path(folder).with_suffix(".json")
    measure = "measure it: isthmus bundle build --measure DIR"
    if not path.is_file():
        raise CheckpointError(f"nothing was measured of {key}", mend=measure)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        measured = from_plain(Measured, record["measured"], where=path.name)
        belongs = record["subject_sha256"] == subject
    except (ValueError, KeyError, TypeError, WireError) as error:
        raise CheckpointError(f"{path} is no record of a measurement: {error!r}", mend=measure) from error
    if not belongs:
        raise CheckpointError(f"{path.name} was measured with other weights than these", mend=measure)
    return measured


def _small(name: str, tensor: Tensor) -> Tensor:
    """Halve the weights of convolutions; statistics and ranges may not fit float16, and take no space."""
    kept = tensor.half() if name.endswith("weight") and tensor.dim() == 4 else tensor
    return kept.detach().cpu().contiguous()
