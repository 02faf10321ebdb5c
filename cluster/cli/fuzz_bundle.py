"""The bundle of the fuzzer with graphs that can be run: the first numbers of a frame are its symbols, and its answer.

Imported by the processes that fuzz; owns the graphs, while ``loadtests.fuzz_bundle`` has all else of the bundle.
"""

from math import prod
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto, helper

from loadtests.fuzz_bundle import (
    DEVICE_GRAPHS,
    GRAPHS,
    INPUT,
    LABELS,
    MIDDLE,
    MIDDLE_SHAPE,
    REAL,
    REAL_SHAPE,
    SIDE,
    write_bundle,
)
from wire.bundle import Bundle
from wire.ids import PointName

FORMS: Final = {
    INPUT: ("pixels", TensorProto.UINT8, (SIDE, SIDE, 3)),
    MIDDLE: ("symbols", TensorProto.UINT8, MIDDLE_SHAPE),
    REAL: ("symbols", TensorProto.FLOAT, REAL_SHAPE),
}
"""What crosses the link at each point."""


def write_served_bundle(folder: Path) -> Bundle:
    """Write a bundle that a cluster can serve."""
    graphs = {name: _cluster_graph(point) for name, point in GRAPHS.items()}
    return write_bundle(folder, graphs | {name: _device_graph(point) for name, point in DEVICE_GRAPHS.items()})


def _cluster_graph(point: PointName) -> bytes:
    name, kind, shape = FORMS[point]
    last = helper.make_node("Softmax", ["first"], ["probabilities"], axis=1)
    taken = helper.make_tensor_value_info(name, kind, ["N", *shape])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(LABELS)])
    return _bytes(helper.make_graph([*_first(name, len(LABELS)), last], "tail", [taken], [given]))


def _device_graph(point: PointName) -> bytes:
    name, kind, shape = FORMS[point]
    pixels, pixel_kind, frame = FORMS[INPUT]
    nodes = [
        *_first(pixels, prod(shape)),
        helper.make_node("Constant", [], ["shape"], value_ints=[1, *shape]),
        helper.make_node("Reshape", ["first", "shape"], ["shaped"]),
        helper.make_node("Cast", ["shaped"], [name], to=kind),
    ]
    taken = helper.make_tensor_value_info(pixels, pixel_kind, [1, *frame])
    given = helper.make_tensor_value_info(name, kind, [1, *shape])
    return _bytes(helper.make_graph(nodes, "head", [taken], [given]))


def _first(source: str, count: int) -> list[onnx.NodeProto]:
    """Give the first numbers of each frame as float32 ``first`` (N, count)."""
    words = (("begin", 0), ("end", count), ("axis", 1))
    return [
        helper.make_node("Cast", [source], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"], axis=1),
        *(helper.make_node("Constant", [], [word], value_ints=[number]) for word, number in words),
        helper.make_node("Slice", ["flat", "begin", "end", "axis"], ["first"]),
    ]


def _bytes(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
