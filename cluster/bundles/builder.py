"""Building a bundle: backbone and trained codecs in, a checked directory out.

Owns the order of the work. A bundle appears whole or not at all.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from cluster.backbones.registry import Backbone
from cluster.bundles.draft import Draft, Drafting, Listener, input_key, option_rates, whole_key
from cluster.bundles.input_coding import SHIPPED_INPUTS, InputCoding
from cluster.bundles.records import Records
from cluster.codecs.weights import TrainedCodec, load_codec, shipped_keys
from cluster.evaluation.evaluation import Evaluator, Progress
from cluster.evaluation.selection import Selection
from cluster.points import Cuts
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import OptionId
from wire.manifest import (
    MANIFEST_NAME,
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Manifest,
    Measured,
    Option,
    dump_manifest,
)

LABELS: Final = "labels.txt"

Chosen = tuple[TrainedCodec, dict[str, str]]
"""A codec with the rates to take: its own names for them, and the bundle's."""


class BundleBuilder:
    """Builds one bundle of one backbone from the trained codecs in a weights folder."""

    def __init__(self, backbone: Backbone, weights: Path, *, listener: Listener) -> None:
        self._backbone, self._weights, self._listener = backbone, weights, listener
        self._cuts = Cuts(backbone.module, backbone.example())
        self._records = Records(weights, backbone)

    def build(
        self,
        out: Path,
        *,
        data: Path | None = None,
        inputs: Sequence[InputCoding] = SHIPPED_INPUTS,
        only: Sequence[str] = (),
    ) -> Bundle:
        """Write a bundle to ``out``, which must not exist or be a bundle, and open it.

        Its options are ``inputs``, the rates of the trained codecs, and the whole backbone on the device. ``only``
        names codecs and rates to take, as ``Selection`` reads them, where it shall not be all. Accuracy and bytes are
        measured on the labelled pictures of ``data`` and recorded beside the weights; without ``data`` the recorded
        figures are used, and rates of which there are none are left out.

        Raises:
            BundleError: ``out`` is something else than a bundle, or cannot be written.
            CheckpointError: there are no codecs, their weights do not fit, or one was never measured and there is no
                ``data``.
            DataError: ``data`` is no evaluation set.
            SettingError: ``only`` names no option.
        """
        if out.is_file() or (out.is_dir() and not (out / MANIFEST_NAME).is_file() and any(out.iterdir())):
            raise BundleError(f"{out} exists and is no bundle", mend="give another --out")
        unfinished = out.with_name(f".{out.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(parents=True)
            self._fill(unfinished, data, inputs, Selection(only))
            if out.exists():
                shutil.rmtree(out)
            os.replace(unfinished, out)
        except OSError as error:
            raise BundleError(f"{out} cannot be written: {error}", mend="check space and permissions") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return Bundle.open(out, "cluster")

    def _fill(self, folder: Path, data: Path | None, inputs: Sequence[InputCoding], selection: Selection) -> None:
        (folder / LABELS).write_text("\n".join(self._backbone.labels) + "\n", encoding="utf-8")
        chosen = self._chosen(selection)
        if data is None:
            chosen = self._with_records(chosen, inputs)
        drafting = Drafting(self._backbone, self._cuts, folder, self._listener)
        splits = (draft for codec, names in chosen for draft in drafting.split(codec, names))
        drafts = [*drafting.inputs(inputs), *splits, drafting.whole()]
        options = _numbered(drafts)
        if data is None:
            figures = [self._records.figures(draft) for draft in drafts]
        else:
            figures = self._measured(folder, options, data)
            self._records.keep(drafts, figures)
        self._write_manifest(
            folder, [replace(option, measured=own) for option, own in zip(options, figures, strict=True)]
        )

    def _chosen(self, selection: Selection) -> list[Chosen]:
        """Load the codecs, the earliest point first, each with the names of the rates to take."""
        keys = shipped_keys(self._weights, self._backbone.name)
        codecs = [load_codec(self._weights, key, self._cuts.point(key.point).shape) for key in keys]
        codecs.sort(key=lambda codec: self._cuts.point(codec.key.point).head_macs)
        named = [(codec, option_rates(codec, codecs)) for codec in codecs]
        selection.check(
            (codec.key.point, kind, name) for codec, names in named for kind in _kinds(codec) for name in names.values()
        )
        taken = (
            (codec, {rate: name for rate, name in names.items() if _takes(selection, codec, name)})
            for codec, names in named
        )
        return [(codec, names) for codec, names in taken if names]

    def _with_records(self, chosen: list[Chosen], inputs: Sequence[InputCoding]) -> list[Chosen]:
        """Leave out the rates that were never measured, before anything is exported.

        Raises:
            CheckpointError: nothing was measured of an input, a codec, or the whole backbone.
        """
        for coding in inputs:
            self._records.rates(input_key(self._backbone, coding), coding.coder, [coding.rate])
        whole = whole_key(self._backbone)
        self._records.rates(whole, whole.codec, [whole.setting])
        return [
            (codec, {rate: names[rate] for rate in self._records.rates(codec.key, codec.digest, names)})
            for codec, names in chosen
        ]

    def _measured(self, folder: Path, options: Sequence[Option], data: Path) -> list[Measured]:
        # A bundle that lacks nothing but its figures, so that its own graphs and codings are what is measured.
        self._write_manifest(folder, options)

        def show(progress: Progress) -> None:
            self._listener("measure", progress.option, progress.frames)

        return Evaluator(folder, data, listener=show).measured(options)

    def _write_manifest(self, folder: Path, options: Sequence[Option]) -> None:
        path, frame = folder / MANIFEST_NAME, self._backbone.frame
        path.unlink(missing_ok=True)
        manifest = Manifest(
            schema=MANIFEST_SCHEMA,
            backbone=self._backbone.name,
            created_by=f"isthmus {version('isthmus')}",
            input=Input(frame.height, frame.width, frame.resize),
            labels=LABELS,
            baseline_top1=options[-1].measured.top1,
            options=tuple(options),
            files=tuple(_entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()),
        )
        path.write_bytes(dump_manifest(manifest))


def _numbered(drafts: Sequence[Draft]) -> list[Option]:
    return [replace(draft.option, id=OptionId(number)) for number, draft in enumerate(drafts)]


def _kinds(codec: TrainedCodec) -> tuple[str, str]:
    """Give what a codec may be called: its kind, or its kind and setting."""
    return codec.key.codec, f"{codec.key.codec}-{codec.key.setting}"


def _takes(selection: Selection, codec: TrainedCodec, rate: str) -> bool:
    return any(selection.takes(codec.key.point, kind, rate) for kind in _kinds(codec))


def _entry(folder: Path, path: Path) -> FileEntry:
    name = path.relative_to(folder).as_posix()
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    side: Literal["device", "cluster", "both"] = "both"
    if path.suffix == ".onnx":
        side = "device" if path.stem == "device" else "cluster"
    return FileEntry(name, digest, path.stat().st_size, side)
