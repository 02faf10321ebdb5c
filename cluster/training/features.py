"""What the frozen backbone says of the training pictures, computed once and kept on disk.

Owns the files ``features.npy`` and ``logits.npy`` of a run. A codec trains against these, so the head and the
teacher run once for each view instead of once for each epoch.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cluster.backbones.registry import Backbone, Normalise
from cluster.pictures import open_picture
from cluster.training.pictures import random_crop
from wire.errors import BadPicture, DataError

BATCH: Final = 32
DONE: Final = "features.json"


@dataclass(frozen=True, slots=True)
class Features:
    """Head outputs (rows, C, H, W) and the backbone's logits (rows, classes), both float16, memory-mapped."""

    features: NDArray[np.float16]
    logits: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.features)

    def batches(self, rows: NDArray[np.int64], size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, logits) as float32 in the order of ``rows``."""
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            features = torch.from_numpy(self.features[chosen]).to(device).float()
            yield (
                features.contiguous(memory_format=torch.channels_last) if features.dim() == 4 else features,
                torch.from_numpy(self.logits[chosen]).to(device).float(),
            )


def compute_features(
    backbone: Backbone,
    head: nn.Module,
    tail: nn.Module,
    pictures: list[Path],
    *,
    point: str,
    views: int,
    seed: int,
    folder: Path,
    device: torch.device,
    on_rows: Callable[[int], None],
) -> Features:
    """Run head and tail over ``views`` random crops of each picture, or reopen what an earlier run computed.

    ``on_rows`` is told how many more rows are ready.

    Raises:
        DataError: more than a tenth of the pictures do not decode.
    """
    identity = {
        "backbone": backbone.name,
        "point": point,
        "views": views,
        "seed": seed,
        "files": sha256("\n".join(map(str, pictures)).encode()).hexdigest(),
    }
    paths = folder / "features.npy", folder / "logits.npy"
    done = folder / DONE
    if not done.is_file() or json.loads(done.read_text()) != identity:
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _write(
            backbone, head, tail, _crops(backbone, pictures, views, seed), len(pictures) * views, paths, device, on_rows
        )
        done.write_text(json.dumps(identity))
    return Features(np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"))


def _crops(backbone: Backbone, pictures: list[Path], views: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    frame = backbone.frame
    broken = 0
    for path in pictures:
        try:
            picture = open_picture(path)
        except BadPicture as error:
            broken += 1
            if broken > len(pictures) // 10:
                raise DataError(f"more than a tenth of the pictures do not decode; the last: {error}") from error
            continue
        for _ in range(views):
            yield random_crop(picture, random, height=frame.height, width=frame.width)


def _write(
    backbone: Backbone,
    head: nn.Module,
    tail: nn.Module,
    crops: Iterator[NDArray[np.uint8]],
    most_rows: int,
    paths: tuple[Path, Path],
    device: torch.device,
    on_rows: Callable[[int], None],
) -> None:
    normalise = Normalise(backbone.frame).to(device)
    outputs: list[np.memmap[Any, np.dtype[np.float16]]] = []
    row = 0
    for batch in _grouped(crops):
        with torch.inference_mode():
            features = head(normalise(torch.from_numpy(np.stack(batch)).to(device)))
            logits = tail(features)
        tensors = [tensor.half().cpu().numpy() for tensor in (features, logits)]
        if not outputs:
            outputs = [
                _mapped(path, (most_rows, *tensor.shape[1:])) for path, tensor in zip(paths, tensors, strict=True)
            ]
        for output, tensor in zip(outputs, tensors, strict=True):
            output[row : row + len(tensor)] = tensor
        row += len(batch)
        on_rows(len(batch))
    if row < most_rows:  # some pictures were broken: fill their rows with the first ones
        for output in outputs:
            output[row:] = output[: most_rows - row]
    for output in outputs:
        output.flush()


def _mapped(path: Path, shape: tuple[int, ...]) -> "np.memmap[Any, np.dtype[np.float16]]":
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)  # type: ignore[no-untyped-call]


def _grouped(crops: Iterator[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    group: list[NDArray[np.uint8]] = []
    for crop in crops:
        group.append(crop)
        if len(group) == BATCH:
            yield group
            group = []
    if group:
        yield group
