"""The cluster's half of every option of a bundle, timed in turn: each graph at each size of batch, each decoder.

Owns the order of the runs. What runs a graph is an engine's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np

from cluster.onnx_graph import Graph
from cluster.profiling.machine import machine_name
from cluster.profiling.option_profile import ONNX_RUNTIME, GraphSeconds, OptionProfile, OptionTimes
from cluster.profiling.samples import Clock, Listener, Samples, own_clock, visits
from cluster.profiling.sessions import open_session
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.manifest import Option
from wire.tensor_form import Tensor, TensorForm


class Engine(Protocol):
    """What runs cluster graphs."""

    name: str
    threads: int
    clock: Clock
    """What its runs are timed by."""

    def open(self, graph: Path, form: TensorForm) -> Callable[[Tensor], object]:
        """Make a graph ready; gives what runs one batch (N, …) of ``form`` and waits for its answer."""


class OnnxEngine(Engine):
    """ONNX Runtime in this process."""

    name = ONNX_RUNTIME

    def __init__(self, threads: int) -> None:
        self.threads, self.clock = threads, own_clock(threads)

    def open(self, graph: Path, form: TensorForm) -> Callable[[Tensor], object]:
        """Load a graph; raises BackboneError if it cannot be."""
        session = open_session(graph, self.threads)
        return lambda batch: session.run(["probabilities"], {form.name: batch})


def measure_cluster(
    folder: Path, pixels: Tensor, engine: Engine, *, batches: Iterable[int], repeats: int, listener: Listener
) -> OptionProfile:
    """Measure every option of the bundle in ``folder`` that sends, on the bitstream of a frame, uint8 (H, W, 3).

    Raises:
        BundleError: there is no bundle, or it cannot be used.
        SettingError: a size of batch is below 1, or there is none.
        TailFailed: Triton refuses a graph.
    """
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1:
        raise SettingError(f"batches of {sizes or 'no'} frames cannot be measured", mend="give sizes such as 1,4,16")
    bundle = Bundle.open(folder, "cluster")
    options = [option for option in bundle.manifest.options if option.cluster_graph]
    listener("coding the frame", 0, 0)
    frames = _Frames(bundle, _bitstreams(options, Bundle.open(folder, "device"), pixels))
    tails = _opened(options, bundle, engine, listener)
    samples = Samples(engine.clock)
    _time(samples, options, frames, tails, sizes, repeats, listener)
    return OptionProfile(
        side="cluster",
        backbone=bundle.manifest.backbone,
        bundle=bundle.digest,
        machine=machine_name(engine.threads),
        engine=engine.name,
        threads=engine.threads,
        repeats=repeats,
        emulated=None,
        factor=1.0,
        rows=tuple(_row(option, samples, sizes) for option in options),
    )


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frame as every option's decoder gets it."""

    bundle: Bundle
    bitstreams: Mapping[int, bytes]

    def decode(self, option: Option) -> Tensor:
        return self.bundle.coding(option).decode(self.bitstreams[option.id])


@dataclass(frozen=True, slots=True)
class _Tail:
    """A cluster graph, ready to run, and the first option that has it."""

    graph: str
    option: Option
    run: Callable[[Tensor], object]


def _opened(options: Sequence[Option], bundle: Bundle, engine: Engine, listener: Listener) -> list[_Tail]:
    tails: dict[str, _Tail] = {}
    for number, option in enumerate(options):
        listener("loading graphs", number, len(options))
        graph = option.cluster_graph
        if graph is not None and graph not in tails:
            tails[graph] = _Tail(graph, option, engine.open(bundle.path(graph), option.form))
    return list(tails.values())


def _time(
    samples: Samples, options: Sequence[Option], frames: _Frames, tails: Sequence[_Tail], sizes: Sequence[int],
    repeats: int, listener: Listener,
) -> None:  # fmt: skip
    done, total = 0, repeats * (len(tails) * len(sizes) + len(options))
    for runs in visits(repeats):
        for tail, size in product(tails, sizes):
            listener(f"{tail.option.point}, batch of {size}", done, total)
            batch = np.repeat(frames.decode(tail.option)[None], size, axis=0)
            samples.visit((tail.graph, size), partial(tail.run, batch), runs)
            done += runs
        for option in options:
            listener(f"decoder {option.point} {option.rate}", done, total)
            samples.visit(option.id, partial(frames.decode, option), runs)
            done += runs


def _bitstreams(options: Sequence[Option], device: Bundle, pixels: Tensor) -> dict[int, bytes]:
    """Code the frame as the device does, each head run once."""
    graphs = dict.fromkeys(option.device_graph for option in options if option.device_graph)
    symbols = {graph: Graph(device.path(graph)).run(pixels[None])[0] for graph in graphs}
    return {
        option.id: device.coding(option).encode(symbols[option.device_graph] if option.device_graph else pixels)
        for option in options
    }


def _row(option: Option, samples: Samples, sizes: Sequence[int]) -> OptionTimes:
    graph = option.cluster_graph
    return OptionTimes(
        id=option.id,
        point=option.point,
        codec=option.codec,
        rate=option.rate,
        graph=graph,
        coder_s=samples.median_s(option.id),
        coder_spread_s=samples.spread_s(option.id),
        batches=tuple(
            GraphSeconds(batch=size, seconds=samples.median_s((graph, size)), spread_s=samples.spread_s((graph, size)))
            for size in sizes
        ),
    )
