"""The bundles that the comparison measures, kept in a folder and built again when something in them has changed.

Owns their names and when one may be used again. What a bundle is and how it is built is ``cluster.bundles``'s.
"""

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from cluster.backbones.backbone import Backbone
from cluster.bundles.builder import BundleBuilder
from cluster.bundles.input_coding import InputCoding
from cluster.codecs.weights import CodecKey
from cluster.evaluation.evaluation import Evaluation
from cluster.evaluation.option_figures import OptionFigures
from cluster.tensor_digest import tensor_digest
from cluster.training.pictures import LABELS_NAME, find_labelled
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.manifest import MANIFEST_NAME, MANIFEST_SCHEMA, Measured, dump_manifest

_DIGITS: Final = 12
"""Of a signature, in the name of a folder."""

Listener = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much."""


class BundleShelf:
    """Bundles of one backbone below a folder, each in a folder that is named after what is in it."""

    def __init__(self, folder: Path, backbone: Backbone, *, listener: Listener) -> None:
        self._folder, self._backbone, self._listener = folder, backbone, listener
        self._backbone_digest = tensor_digest(backbone.module.state_dict())

    def recorded(self, name: str, weights: Path) -> Path:
        """Give the bundle of a weights folder's measured rates, as ``isthmus bundle build`` makes it, without inputs.

        Raises:
            CheckpointError: there are no codecs, or none was measured.
        """
        files = sorted((weights / self._backbone.name).glob("[!.]*.*"))
        place = self._place(name, files, ())
        if not _is_whole(place):
            self._builder(weights).build(place, inputs=())
        return place

    def gathered(self, name: str, files: Sequence[Path], data: Path, *, inputs: Sequence[InputCoding] = ()) -> Path:
        """Give the bundle of all rates of some weights files, whether they were measured or not.

        Its figures are of one picture of ``data``, until ``note`` has given it others.

        Raises:
            CheckpointError: a file does not fit the backbone.
            DataError: ``data`` is no evaluation set.
        """
        place = self._place(name, files, inputs)
        if not _is_whole(place):
            weights = self._folder / f"{name}.weights"
            shutil.rmtree(weights, ignore_errors=True)
            (weights / self._backbone.name).mkdir(parents=True)
            for file in files:
                shutil.copy(file, weights / self._backbone.name)
            self._builder(weights).build(place, data=self._one_picture(data), inputs=inputs)
        return place

    def _place(self, name: str, files: Sequence[Path], inputs: Sequence[InputCoding]) -> Path:
        """Name the folder, and remove those that had something else in them."""
        signature = sha256(f"{self._backbone_digest} {MANIFEST_SCHEMA} {inputs}".encode())
        for file in files:
            signature.update(file.name.encode() + sha256(file.read_bytes()).digest())
        place = self._folder / f"{name}-{signature.hexdigest()[:_DIGITS]}"
        for other in self._folder.glob(f"{name}-{'?' * _DIGITS}"):
            if other != place:
                shutil.rmtree(other)
        return place

    def _builder(self, weights: Path) -> BundleBuilder:
        def show(stage: str, option: str, _frames: int) -> None:
            self._listener(f"{stage} {option}", 0, 0)

        return BundleBuilder(self._backbone, weights, listener=show)

    def _one_picture(self, data: Path) -> Path:
        """Make an evaluation set of one picture: a bundle cannot be built without any figures."""
        first, folder = find_labelled(data)[0], self._folder / "one-picture"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        shutil.copy(first.path, folder / "images")
        with (folder / LABELS_NAME).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file", "label"), (first.path.name, first.label)])
        return folder


def files_of(keys: Sequence[CodecKey], weights: Path) -> list[Path]:
    """Name the weights files of some codecs."""
    return [key.path(weights) for key in keys]


def note(place: Path, evaluation: Evaluation) -> None:
    """Write what was measured into a bundle's manifest; its options are those of the evaluation, in their order.

    So the bundle of JALAD's settings holds the tables that the paper looks its decisions up in: A(c) and S(c).
    """
    manifest = Bundle.open(place, "cluster").manifest
    options = tuple(
        replace(option, measured=_measured(figures, evaluation))
        for option, figures in zip(manifest.options, evaluation.options, strict=True)
    )
    noted = replace(manifest, options=options, baseline_top1=evaluation.baseline_top1)
    (place / MANIFEST_NAME).write_bytes(dump_manifest(noted))


def _measured(figures: OptionFigures, evaluation: Evaluation) -> Measured:
    return Measured(
        dataset=evaluation.dataset, pictures=evaluation.pictures, top1=figures.top1, top1_drop=figures.top1_drop,
        top5=figures.top5, top5_drop=figures.top5_drop, agreement=figures.agreement, bytes_mean=figures.bytes_mean,
        bytes_p95=figures.bytes_p95, looks_mean=figures.looks_mean,
    )  # fmt: skip


def _is_whole(place: Path) -> bool:
    if not (place / MANIFEST_NAME).is_file():
        return False
    try:
        Bundle.open(place, "cluster")
    except BundleError:
        shutil.rmtree(place)
        return False
    return True
