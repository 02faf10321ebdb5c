"""The device's half of every option of a bundle, timed in turn: each head once, each coder on what its head gave.

Owns the order of the runs. What runs a device graph is given: this package does not know the agent.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cluster.profiling.machine import machine_name
from cluster.profiling.option_profile import ONNX_RUNTIME, GraphSeconds, OptionProfile, OptionTimes
from cluster.profiling.samples import Listener, Samples, own_clock, visits
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import OptionId
from wire.manifest import Option
from wire.tensor_form import Tensor

RunGraph = Callable[[str], Tensor]
"""Runs a device graph of the bundle, by its name, on the frame; gives its output without the batch."""


def measure_device(
    bundle: Bundle, run_graph: RunGraph, pixels: Tensor, *, threads: int, repeats: int, listener: Listener
) -> OptionProfile:
    """Measure every option on a frame, uint8 (H, W, 3); ``threads`` are those that ``run_graph`` takes.

    Raises:
        BundleError: a graph cannot be run, or does not fit its coder.
    """
    options = bundle.manifest.options
    graphs = list(dict.fromkeys(option.device_graph for option in options if option.device_graph))
    listener("warming up", 0, 0)
    outputs = {graph: run_graph(graph) for graph in graphs}
    coders = {
        option.id: _coder(bundle, option, outputs[option.device_graph] if option.device_graph else pixels)
        for option in options
        if option.coder != "none"
    }
    samples = Samples(own_clock(threads))
    runners = {graph: partial(run_graph, graph) for graph in graphs}
    _time(samples, runners, coders, repeats, listener)
    return OptionProfile(
        side="device",
        backbone=bundle.manifest.backbone,
        bundle=bundle.digest,
        machine=machine_name(threads),
        engine=ONNX_RUNTIME,
        threads=threads,
        repeats=repeats,
        emulated=None,
        factor=1.0,
        rows=_rows(options, samples),
    )


def _coder(bundle: Bundle, option: Option, given: Tensor) -> Callable[[], bytes]:
    coding = bundle.coding(option)
    try:
        coding.encode(given)
    except ValueError as error:
        raise BundleError(
            f"the coder of option {option.id} does not fit its graph: {error}", mend="make the bundle again"
        ) from error
    return partial(coding.encode, given)


def _time(
    samples: Samples, heads: Mapping[str, Callable[[], object]], coders: Mapping[OptionId, Callable[[], object]],
    repeats: int, listener: Listener,
) -> None:  # fmt: skip
    done, total = 0, repeats * (len(heads) + len(coders))
    for runs in visits(repeats):
        for key, run in (*heads.items(), *coders.items()):
            listener(f"head {key}" if key in heads else f"coder of option {key}", done, total)
            samples.visit(key, run, runs)
            done += runs


def _rows(options: Sequence[Option], samples: Samples) -> tuple[OptionTimes, ...]:
    return tuple(
        OptionTimes(
            id=option.id, point=option.point, codec=option.codec, rate=option.rate, graph=option.device_graph,
            coder_s=samples.median_s(option.id) if option.coder != "none" else 0.0,
            coder_spread_s=samples.spread_s(option.id) if option.coder != "none" else 0.0,
            batches=(
                GraphSeconds(batch=1, seconds=samples.median_s(graph), spread_s=samples.spread_s(graph)),
            ) if (graph := option.device_graph) else (),
        )
        for option in options
    )  # fmt: skip
