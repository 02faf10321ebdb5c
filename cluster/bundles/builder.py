"""Building a bundle: backbone and trained codecs in, a checked directory out.

Owns what lies where in a bundle. A bundle appears whole or not at all.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from cluster.backbones.registry import Backbone
from cluster.bundles import measure as m
from cluster.bundles.graphs import export_head, export_tail, export_whole
from cluster.codecs.codec import Codec, Rate
from cluster.codecs.measured_rates import MEASURE, load_measured, save_measured
from cluster.codecs.weights import CodecKey, TrainedCodec, load_codec, shipped_keys
from cluster.onnx_graph import Graph
from cluster.points import INPUT, OUTPUT, Cuts
from cluster.tensor_digest import tensor_digest
from cluster.training.pictures import find_labelled
from wire.bitstream import Coder
from wire.bundle import Bundle
from wire.codings import Coding, HuffmanCoding, RansCoding
from wire.errors import BundleError, CheckpointError
from wire.huffman import HuffmanCoder
from wire.ids import OptionId, PointName
from wire.manifest import (
    MANIFEST_NAME,
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    dump_manifest,
)
from wire.picture_coding import PictureCoding
from wire.rans import RansCoder
from wire.tensor_form import TensorForm

LABELS: Final = "labels.txt"
JPEG_QUALITY: Final = 75
HUFFMAN: Final = "huffman"
"""The rate of a codec with Huffman codes; the options of a bundle have its setting instead."""

Stage = Literal["export", "measure"]
Listener = Callable[[Stage, str, int], None]
"""Told what is being done, to which option, and how many frames more have been measured."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An option before it is measured: how it answers, and what its measurement belongs to."""

    key: CodecKey
    rate: str
    option: Callable[[OptionId, Measured], Option]
    answer: Callable[[m.Pixels], m.Answer]
    subject: str

    def __str__(self) -> str:
        """Name the option; a codec of one rate is named by its setting."""
        return str(self.key) if self.rate in (self.key.setting, HUFFMAN) else f"{self.key} {self.rate}"


class BundleBuilder:
    """Builds one bundle of one backbone from the trained codecs in a weights folder."""

    def __init__(self, backbone: Backbone, weights: Path, *, listener: Listener) -> None:
        self._backbone, self._weights, self._listener = backbone, weights, listener
        self._cuts = Cuts(backbone.module, backbone.example())
        self._backbone_digest = tensor_digest(backbone.module.state_dict())

    def build(self, out: Path, *, data: Path | None = None) -> Bundle:
        """Write a bundle to ``out``, which must not exist or be a bundle, and open it.

        Accuracy and bytes are measured on the labelled pictures of ``data`` and recorded beside the weights;
        without ``data`` the recorded figures are used.

        Raises:
            BundleError: ``out`` is something else than a bundle, or cannot be written.
            CheckpointError: there are no codecs, or one was never measured and there is no ``data``.
            DataError: ``data`` is no evaluation set.
        """
        if out.is_file() or (out.is_dir() and not (out / MANIFEST_NAME).is_file() and any(out.iterdir())):
            raise BundleError(f"{out} exists and is no bundle", mend="give another --out")
        unfinished = out.with_name(f".{out.name}.partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(parents=True)
            self._fill(unfinished, data)
            if out.exists():
                shutil.rmtree(out)
            os.replace(unfinished, out)
        except OSError as error:
            raise BundleError(f"{out} cannot be written: {error}", mend="check space and permissions") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return Bundle.open(out, "cluster")

    def _fill(self, folder: Path, data: Path | None) -> None:
        (folder / LABELS).write_text("\n".join(self._backbone.labels) + "\n", encoding="utf-8")
        keys = shipped_keys(self._weights, self._backbone.name)
        codecs = [load_codec(self._weights, key, self._cuts.point(key.point).shape) for key in keys]
        codecs.sort(key=lambda codec: self._cuts.point(codec.key.point).head_macs)
        first = self._jpeg(folder)
        splits = [draft for codec in codecs for draft in self._split(folder, codec)]
        drafts = [first, *splits, self._whole(folder)]
        measured = self._measure(drafts, data) if data else [self._recorded(draft) for draft in drafts]
        options = tuple(
            draft.option(OptionId(number), figures)
            for number, (draft, figures) in enumerate(zip(drafts, measured, strict=True))
        )
        frame = self._backbone.frame
        manifest = Manifest(
            schema=MANIFEST_SCHEMA,
            backbone=self._backbone.name,
            created_by=f"isthmus {version('isthmus')}",
            input=Input(frame.height, frame.width, frame.resize),
            labels=LABELS,
            baseline_top1=measured[-1].top1,
            options=options,
            files=tuple(_entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()),
        )
        (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))

    def _split(self, folder: Path, codec: TrainedCodec) -> Iterator[_Draft]:
        """Export a codec's graphs once, and write what each of its rates needs beside them."""
        key = codec.key
        self._listener("export", str(key), 0)
        head, tail = self._cuts.split(key.point)
        place = f"{key.point}/{key.codec}-{key.setting}"
        device, cluster = (f"{place}/{name}.onnx" for name in ("device", "cluster"))
        export_head(self._backbone, head, codec.module, folder / device)
        export_tail(codec.module, tail, folder / cluster)
        for rate in codec.rates:
            if rate.name in codec.rate_tables:
                yield self._rate(folder, place, codec, rate)

    def _rate(self, folder: Path, place: str, codec: TrainedCodec, rate: Rate) -> _Draft:
        key, shape = codec.key, codec.module.symbol_shape
        device, cluster, tables, gains = (
            f"{place}/{name}"
            for name in ("device.onnx", "cluster.onnx", f"{rate.name}.tables.npy", f"{rate.name}.gains.npy")
        )
        np.save(folder / tables, codec.rate_tables[rate.name])
        if rate.gains is not None:
            np.save(folder / gains, rate.gains)
        point = self._cuts.point(key.point)
        encoder, decoder = codec_macs(codec.module, point.shape)

        def option(number: OptionId, measured: Measured) -> Option:
            return Option(
                id=number, point=PointName(key.point), codec=key.codec,
                rate=key.setting if rate.name == HUFFMAN else rate.name, coder=rate.coder, shape=shape,
                device_graph=device, cluster_graph=cluster, tables=tables,
                gains=gains if rate.gains is not None else None, quality=rate.quality,
                macs=Macs(point.head_macs, encoder, decoder, point.tail_macs), measured=measured,
            )  # fmt: skip

        answer = m.answer_sent(_coding(codec, rate), Graph(folder / cluster), device=Graph(folder / device))
        return _Draft(key, rate.name, option, answer, self._subject(codec.digest))

    def _jpeg(self, folder: Path) -> _Draft:
        key = CodecKey(self._backbone.name, INPUT, "jpeg", f"q{JPEG_QUALITY}")
        self._listener("export", str(key), 0)
        cluster = f"{INPUT}/cluster.onnx"
        export_whole(self._backbone, folder / cluster, batched=True)
        frame = self._backbone.frame

        def option(number: OptionId, measured: Measured) -> Option:
            return Option(
                id=number, point=INPUT, codec=key.codec, rate=key.setting, coder="jpeg",
                shape=(3, frame.height, frame.width), device_graph=None, cluster_graph=cluster, tables=None,
                gains=None, quality=JPEG_QUALITY, macs=Macs(0, 0, 0, self._cuts.point(INPUT).tail_macs),
                measured=measured,
            )  # fmt: skip

        coding = PictureCoding(OptionId(0), TensorForm.pixels(frame.height, frame.width), Coder.JPEG, JPEG_QUALITY)
        return _Draft(key, key.setting, option, m.answer_sent(coding, Graph(folder / cluster)), self._subject("jpeg"))

    def _whole(self, folder: Path) -> _Draft:
        key = CodecKey(self._backbone.name, OUTPUT, "none", "whole")
        self._listener("export", str(key), 0)
        device = f"{OUTPUT}/device.onnx"
        export_whole(self._backbone, folder / device, batched=False)

        def option(number: OptionId, measured: Measured) -> Option:
            return Option(
                id=number, point=OUTPUT, codec=key.codec, rate=key.setting, coder="none", shape=(1, 1, 1),
                device_graph=device, cluster_graph=None, tables=None, gains=None, quality=None,
                macs=Macs(self._cuts.point(OUTPUT).head_macs, 0, 0, 0), measured=measured,
            )  # fmt: skip

        return _Draft(key, key.setting, option, m.answer_whole(Graph(folder / device)), self._subject("none"))

    def _measure(self, drafts: list[_Draft], data: Path) -> list[Measured]:
        labelled = list(m.frames(find_labelled(data), self._backbone.frame))
        whole: list[m.Answer] = []
        for frame in labelled:
            whole.append(drafts[-1].answer(frame.pixels))
            self._listener("measure", "unsplit backbone", 1)
        every: list[Measured] = []
        for draft in drafts:
            figures = m.measure(
                draft.answer, labelled, dataset=data.resolve().name, whole=whole,
                on_frame=partial(self._listener, "measure", str(draft), 1),
            )  # fmt: skip
            every.append(figures)
        for key in dict.fromkeys(draft.key for draft in drafts):
            own = [(draft, figures) for draft, figures in zip(drafts, every, strict=True) if draft.key == key]
            rates = {draft.rate: figures for draft, figures in own}
            save_measured(self._weights, key, own[0][0].subject, rates)
        return every

    def _recorded(self, draft: _Draft) -> Measured:
        rates = load_measured(self._weights, draft.key, draft.subject)
        if draft.rate not in rates:
            raise CheckpointError(f"nothing was measured of {draft.key} at the rate {draft.rate}", mend=MEASURE)
        return rates[draft.rate]

    def _subject(self, codec: str) -> str:
        """Name what a measurement is of: these codec weights, behind this backbone."""
        return sha256(f"{self._backbone_digest} {codec}".encode()).hexdigest()


def _coding(codec: TrainedCodec, rate: Rate) -> Coding:
    """Make the coding of a rate that has tables, as the bundle will."""
    tables, shape = codec.rate_tables[rate.name], codec.module.symbol_shape
    if rate.gains is None:
        return HuffmanCoding(OptionId(0), TensorForm.symbols(shape), HuffmanCoder(tables))
    return RansCoding(OptionId(0), TensorForm.symbols(shape, "float32"), RansCoder(tables), rate.gains)


def codec_macs(codec: Codec, shape: tuple[int, ...]) -> tuple[int, int]:
    """Count the multiply-accumulates of encoder and decoder for one tensor of ``shape``."""
    with FlopCounterMode(display=False) as encoder, torch.no_grad():
        symbols = codec.encoder(torch.zeros(1, *shape))
    with FlopCounterMode(display=False) as decoder, torch.no_grad():
        codec.decoder(symbols)
    return encoder.get_total_flops() // 2, decoder.get_total_flops() // 2


def _entry(folder: Path, path: Path) -> FileEntry:
    name = path.relative_to(folder).as_posix()
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    side: Literal["device", "cluster", "both"] = "both"
    if path.suffix == ".onnx":
        side = "device" if path.stem == "device" else "cluster"
    return FileEntry(name, digest, path.stat().st_size, side)
