"""Options before they are measured, and the files that each of them needs.

Owns what lies where in a bundle, and how the rates of several codecs at one point are named. Measures nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from cluster.backbones.registry import Backbone
from cluster.bundles.graphs import export_head, export_tail, export_whole
from cluster.bundles.input_coding import InputCoding
from cluster.codecs.codec import Codec, Rate
from cluster.codecs.weights import CodecKey, TrainedCodec
from cluster.points import INPUT, OUTPUT, Cuts
from wire.errors import CheckpointError
from wire.ids import OptionId, PointName
from wire.manifest import UNMEASURED, Macs, Option, Refinement

HUFFMAN: Final = "huffman"
TABLE_CODERS: Final = frozenset({"huffman", "rans"})

Stage = Literal["export", "measure"]
Listener = Callable[[Stage, str, int], None]
"""Told what is being done, to which option, and how many frames more have been measured."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An option without a number and without figures, and what these are filed under.

    ``rate`` is the codec's own name for it, and ``digest`` that of the codec's weights.
    """

    key: CodecKey
    rate: str
    digest: str
    option: Option


class Drafting:
    """Exports graphs and writes tables into the folder of a bundle; the paths in the options are below it."""

    def __init__(self, backbone: Backbone, cuts: Cuts, folder: Path, listener: Listener) -> None:
        self._backbone, self._cuts, self._folder, self._listener = backbone, cuts, folder, listener

    def inputs(self, codings: Sequence[InputCoding]) -> Iterator[Draft]:
        """Draft the options that send the frame itself; they share the whole backbone as their cluster graph."""
        cluster = f"{INPUT}/cluster.onnx"
        frame = self._backbone.frame
        for number, coding in enumerate(codings):
            key = input_key(self._backbone, coding)
            self._listener("export", str(key), 0)
            if not number:
                export_whole(self._backbone, self._folder / cluster, batched=True)
            option = Option(
                id=OptionId(0), point=INPUT, codec=key.codec, rate=key.setting, coder=coding.coder,
                shape=(3, frame.height, frame.width), device_graph=None, cluster_graph=cluster, tables=None,
                gains=None, quality=coding.quality, macs=Macs(0, 0, 0, self._cuts.point(INPUT).tail_macs),
                measured=UNMEASURED,
            )  # fmt: skip
            yield Draft(key, key.setting, coding.coder, option)

    def split(self, codec: TrainedCodec, names: dict[str, str]) -> Iterator[Draft]:
        """Draft some rates of a codec, by its names for them and the bundle's; they share both its graphs.

        Raises:
            CheckpointError: the weights hold no tables for a rate that needs some, or do not fit the tail.
        """
        key, module = codec.key, codec.module
        self._listener("export", str(key), 0)
        head, tail = self._cuts.split(key.point)
        place = f"{key.point}/{key.codec}-{key.setting}"
        device, cluster = f"{place}/device.onnx", f"{place}/cluster.onnx"
        export_head(self._backbone, head, module, self._folder / device)
        export_tail(module, tail, self._folder / cluster)
        point = self._cuts.point(key.point)
        encoder, decoder = codec_macs(module, point.shape)
        rates = {rate.name: rate for rate in codec.rates}

        def option(own: str, first: Rate, refinements: tuple[Refinement, ...] = ()) -> Option:
            return Option(
                id=OptionId(0), point=PointName(key.point), codec=key.codec, rate=names[own], coder=first.coder,
                shape=module.symbol_shape, device_graph=device, cluster_graph=cluster,
                tables=self._tables(place, codec, first.name) if first.coder in TABLE_CODERS else None,
                gains=self._gains(place, first), quality=first.quality,
                macs=Macs(point.head_macs, encoder, decoder, point.tail_macs), measured=UNMEASURED,
                refinements=refinements,
            )  # fmt: skip

        for name, rate in rates.items():
            if name in names:
                yield Draft(key, name, codec.digest, option(name, rate))
        for looks in codec.looks:
            if looks.name in names:
                refinements = tuple(
                    self._refinement(place, codec, step, rates[finer], lead)
                    for (step, _, finer), lead in zip(looks.steps, looks.leads, strict=True)
                )
                yield Draft(key, looks.name, codec.digest, option(looks.name, rates[looks.rates[0]], refinements))

    def whole(self) -> Draft:
        """Draft the option that sends nothing."""
        key = whole_key(self._backbone)
        self._listener("export", str(key), 0)
        device = f"{OUTPUT}/device.onnx"
        export_whole(self._backbone, self._folder / device, batched=False)
        option = Option(
            id=OptionId(0), point=OUTPUT, codec=key.codec, rate=key.setting, coder="none", shape=(1, 1, 1),
            device_graph=device, cluster_graph=None, tables=None, gains=None, quality=None,
            macs=Macs(self._cuts.point(OUTPUT).head_macs, 0, 0, 0), measured=UNMEASURED,
        )  # fmt: skip
        return Draft(key, key.setting, key.codec, option)

    def _refinement(self, place: str, codec: TrainedCodec, step: str, rate: Rate, lead: float) -> Refinement:
        gains = self._gains(place, rate)
        assert gains is not None, "a codec refines rates that have gains"
        return Refinement(lead, self._tables(place, codec, step), gains)

    def _tables(self, place: str, codec: TrainedCodec, name: str) -> str:
        if name not in codec.rate_tables:
            raise CheckpointError(f"{codec.key} has no coder tables for the rate {name}", mend="train it again")
        path = f"{place}/{name}.tables.npy"
        np.save(self._folder / path, codec.rate_tables[name])
        return path

    def _gains(self, place: str, rate: Rate) -> str | None:
        if rate.gains is None:
            return None
        path = f"{place}/{rate.name}.gains.npy"
        np.save(self._folder / path, rate.gains)
        return path


def input_key(backbone: Backbone, coding: InputCoding) -> CodecKey:
    """Say what an option at the input is filed under."""
    return CodecKey(backbone.name, INPUT, coding.coder, coding.rate)


def whole_key(backbone: Backbone) -> CodecKey:
    """Say what the option that sends nothing is filed under."""
    return CodecKey(backbone.name, OUTPUT, "none", "whole")


def option_rates(codec: TrainedCodec, codecs: Sequence[TrainedCodec]) -> dict[str, str]:
    """Name the rates of one of several codecs as options, by the codec's own names.

    The only rate of a codec, and one of Huffman codes, has the name of the setting. Another has its own, behind the
    setting where the point has codecs of the same kind; so have several looks.
    """
    key = codec.key
    kind = [other for other in codecs if (other.key.point, other.key.codec) == (key.point, key.codec)]
    prefix = f"{key.setting}-" if len(kind) > 1 else ""
    named = {
        rate.name: key.setting if rate.name == HUFFMAN or len(codec.rates) == 1 else f"{prefix}{rate.name}"
        for rate in codec.rates
    }
    return named | {looks.name: f"{prefix}{looks.name}" for looks in codec.looks}


def codec_macs(codec: Codec, shape: tuple[int, ...]) -> tuple[int, int]:
    """Count the multiply-accumulates of encoder and decoder for one tensor of ``shape``."""
    with FlopCounterMode(display=False) as encoder, torch.no_grad():
        symbols = codec.encoder(torch.zeros(1, *shape))
    with FlopCounterMode(display=False) as decoder, torch.no_grad():
        codec.decoder(symbols)
    return encoder.get_total_flops() // 2, decoder.get_total_flops() // 2
