"""Features and logits of all training frames on disk, computed once and shared by all codecs of a point.

Owns the folder ``DIGEST`` below a backbone's features: one file ``POINT.npy`` a point, the logits at the point
``output``, and ``POINT.json`` beside it that says how many of its rows are done, so that a stopped computation goes on.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from cluster.backbones.backbone import Backbone, Normalise
from cluster.points import OUTPUT, Cuts
from cluster.tensor_digest import tensor_digest
from cluster.training.features import Features
from cluster.training.taps import tapped
from cluster.training.views import AUGMENTATION, Views
from wire.errors import CheckpointError

BATCH: Final = 32
NOTE_EVERY: Final = 32
"""After so many batches what is done is noted."""
MARGIN_BYTES: Final = 2**28
"""So much of the disk is left to others."""


class FeatureCache:
    """The features of one backbone for one set of views."""

    def __init__(self, folder: Path, backbone: Backbone, cuts: Cuts, views: Views) -> None:
        self._backbone, self._cuts, self._views = backbone, cuts, views
        self._identity = _identity(backbone, views)
        digest = sha256(json.dumps(self._identity, sort_keys=True).encode()).hexdigest()
        self.folder = folder / digest[:16]

    def fits(self, points: Sequence[str]) -> bool:
        """Tell whether the disk has room for what is not there yet of these points' features and the logits.

        Raises:
            UnknownPoint: the backbone has no such point.
        """
        names = dict.fromkeys((*points, OUTPUT))
        missing = sum(self._bytes(name) for name in names if not self._path(name).is_file())
        place = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        return missing == 0 or missing + MARGIN_BYTES <= shutil.disk_usage(place).free

    def features(self, points: Sequence[str], device: torch.device, on_rows: Callable[[int], None]) -> list[Features]:
        """Compute what is missing of several points' features in one pass, and open them all.

        ``on_rows`` is told how many more rows are ready.

        Raises:
            CheckpointError: the files cannot be written.
            DataError: more than a tenth of the pictures do not decode.
        """
        missing = [name for name in dict.fromkeys((*points, OUTPUT)) if self._rows_done(name) < len(self._views)]
        if missing:
            try:
                self._compute(missing, device, on_rows)
            except OSError as error:
                raise CheckpointError(
                    f"the features cannot be written to {self.folder}: {error}",
                    mend="free some space and run the same command, or give --recompute to keep none",
                ) from error
        logits = self._opened(OUTPUT)
        return [Features(self._opened(point), logits) for point in points]

    def _compute(self, names: list[str], device: torch.device, on_rows: Callable[[int], None]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        _write_json(self.folder / "identity.json", self._identity)
        files = {name: self._file(name) for name in names}
        first = min(self._rows_done(name) for name in names)
        if first:
            on_rows(first)
        backbone = torch.nn.Sequential(Normalise(self._backbone.frame), tapped(self._cuts, names)).to(device)
        rows, done = np.arange(first, len(self._views)), first
        for number, frames in enumerate(self._views.batches(rows, BATCH), start=1):
            with torch.inference_mode():
                found = backbone(torch.from_numpy(frames).to(device))
            for name, tensor in zip(names, found, strict=True):
                files[name][done : done + len(frames)] = tensor.half().cpu().numpy()
            done += len(frames)
            if number % NOTE_EVERY == 0 or done == len(self._views):
                for name, file in files.items():
                    file.flush()
                    _write_json(self._note(name), {"rows": done})
            on_rows(len(frames))

    def _file(self, name: str) -> "np.memmap[Any, np.dtype[np.float16]]":
        path = self._path(name)
        if path.is_file():
            return np.load(path, mmap_mode="r+")
        partial = path.with_name(f".{path.name}.partial")
        shape = (len(self._views), *self._cuts.point(name).shape)
        file = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)  # type: ignore[no-untyped-call]
        try:
            _reserve(partial)
        except OSError:
            partial.unlink()
            raise
        os.replace(partial, path)
        return file

    def _opened(self, name: str) -> torch.Tensor:
        # Copy-on-write: torch wants an array that it may write to, and the file stays as it is.
        array: NDArray[np.float16] = np.load(self._path(name), mmap_mode="c")
        return torch.from_numpy(array)

    def _rows_done(self, name: str) -> int:
        try:
            return int(json.loads(self._note(name).read_text())["rows"]) if self._path(name).is_file() else 0
        except (OSError, ValueError, KeyError):
            return 0

    def _bytes(self, name: str) -> int:
        return 2 * len(self._views) * int(np.prod(self._cuts.point(name).shape))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _note(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _identity(backbone: Backbone, views: Views) -> dict[str, Any]:
    pictures = "\n".join(f"{path} {path.stat().st_size}" for path in views.pictures)
    return {
        "augmentation": AUGMENTATION,
        "backbone": backbone.name,
        "weights": tensor_digest(backbone.module.state_dict()),
        "frame": repr(backbone.frame),
        "pictures": sha256(pictures.encode()).hexdigest(),
        "views": views.views,
        "seed": views.seed,
    }


def _reserve(path: Path) -> None:
    """Take a file's space on the disk now: writing to a mapped page that has none would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    os.replace(partial, path)
