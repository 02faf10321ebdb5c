"""A bundle without a backbone, whose one option sends about 500 bytes: for measuring the path and testing the wire.

Owns its graphs: the device's passes pixels on as symbols, the cluster's gives the mean of each channel.
"""

from dataclasses import replace
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper

from cluster.points import OUTPUT
from wire.bitstream import HEADER_BYTES
from wire.bundle import Bundle
from wire.ids import OptionId, PointName
from wire.manifest import (
    MANIFEST_NAME,
    MANIFEST_SCHEMA,
    UNMEASURED,
    FileEntry,
    FileSide,
    Input,
    Macs,
    Manifest,
    Option,
    dump_manifest,
)

SYNTHETIC_POINT: Final = PointName("synthetic")
SYMBOL_SHAPE: Final = (3, 13, 13)
SENT_BYTES: Final = float(HEADER_BYTES + prod(SYMBOL_SHAPE))
SIDE: Final = 13
LABELS: Final = ("red", "green", "blue")


def write_synthetic(folder: Path) -> Bundle:
    """Write the bundle into ``folder`` and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    np.save(folder / "tables.npy", np.ones((3, 256), np.uint16))
    _save(_pixels_to_symbols(), folder / "device.onnx")
    _save(_symbols_to_means(), folder / "cluster.onnx")
    _save(_pixels_to_means(), folder / "whole.onnx")
    sides: dict[str, FileSide] = {
        "labels.txt": "both", "tables.npy": "both", "device.onnx": "device", "cluster.onnx": "cluster",
        "whole.onnx": "device",
    }  # fmt: skip
    manifest = Manifest(
        schema=MANIFEST_SCHEMA,
        backbone="synthetic",
        created_by="isthmus",
        input=Input(SIDE, SIDE, SIDE),
        labels="labels.txt",
        baseline_top1=0.0,
        options=(_split(), _whole()),
        files=tuple(_entry(folder / name, side) for name, side in sides.items()),
    )
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "cluster")


def _split() -> Option:
    return Option(
        id=OptionId(0), point=SYNTHETIC_POINT, codec="none", rate="raw", coder="huffman", shape=SYMBOL_SHAPE,
        device_graph="device.onnx", cluster_graph="cluster.onnx", tables="tables.npy", gains=None, quality=None,
        macs=Macs(0, 0, 0, 0), measured=replace(UNMEASURED, bytes_mean=SENT_BYTES, bytes_p95=SENT_BYTES),
    )  # fmt: skip


def _whole() -> Option:
    return Option(
        id=OptionId(1), point=OUTPUT, codec="none", rate="whole", coder="none", shape=(1, 1, 1),
        device_graph="whole.onnx", cluster_graph=None, tables=None, gains=None, quality=None,
        macs=Macs(0, 0, 0, 0), measured=UNMEASURED,
    )  # fmt: skip


def _pixels_to_symbols() -> onnx.GraphProto:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    symbols = helper.make_tensor_value_info("symbols", TensorProto.UINT8, [1, *SYMBOL_SHAPE])
    node = helper.make_node("Transpose", ["pixels"], ["symbols"], perm=[0, 3, 1, 2])
    return helper.make_graph([node], "device", [pixels], [symbols])


def _symbols_to_means() -> onnx.GraphProto:
    symbols = helper.make_tensor_value_info("symbols", TensorProto.UINT8, ["N", *SYMBOL_SHAPE])
    return helper.make_graph(_means("symbols", [2, 3]), "cluster", [symbols], [_probabilities("N")])


def _pixels_to_means() -> onnx.GraphProto:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    return helper.make_graph(_means("pixels", [1, 2]), "whole", [pixels], [_probabilities(1)])


def _means(source: str, axes: list[int]) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [source], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["axes"], value_ints=axes),
        helper.make_node("ReduceMean", ["levels", "axes"], ["means"], keepdims=0),
        helper.make_node("Softmax", ["means"], ["probabilities"], axis=1),
    ]


def _probabilities(batch: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, len(LABELS)])


def _save(graph: onnx.GraphProto, path: Path) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _entry(path: Path, side: FileSide) -> FileEntry:
    data = path.read_bytes()
    return FileEntry(path.name, sha256(data).hexdigest(), len(data), side)
