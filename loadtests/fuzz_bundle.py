"""A small bundle with every coder, whose frames take a few hundred bytes: for fuzzing, where small is fast.

Owns what is in it; the cluster's graphs are given, since nothing here knows how to make one.
"""

import io
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
    Refinement,
    dump_manifest,
)
from wire.rans_tables import integer_tables
from wire.refinement import CLASS_ACTIVITY, SYMBOLS

INPUT: Final = PointName("input")
MIDDLE: Final = PointName("middle")
REAL: Final = PointName("real")
POINTS: Final = (INPUT, MIDDLE, REAL)
"""Pixels, symbols that are bytes, and symbols that are real numbers."""
SIDE: Final = 16
MIDDLE_SHAPE: Final = (5, 3, 4)
REAL_SHAPE: Final = (6, 3, 4)
LABELS: Final = ("ant", "bee", "cat")
LEVELS: Final = 16
STEPS: Final = (1.0, 0.4, 0.1)
"""Of the quantisers of a frame's looks, each finer than the one before."""
GRAPHS: Final = {"pixels.onnx": INPUT, "middle.onnx": MIDDLE, "real.onnx": REAL}
"""Of the cluster, and what they take."""
DEVICE_GRAPHS: Final = {"middle-device.onnx": MIDDLE, "real-device.onnx": REAL}
"""What the device graphs give."""

_REFINEMENTS: Final = (0, 1, 2)


def write_bundle(folder: Path, graphs: Mapping[str, bytes] | None = None) -> Bundle:
    """Write the bundle into ``folder`` and open it as the cluster does; without ``graphs`` nothing can be run."""
    folder.mkdir(parents=True, exist_ok=True)
    sides: dict[str, tuple[bytes, FileSide]] = {
        "labels.txt": (("\n".join(LABELS) + "\n").encode(), "both"),
        **{name: ((graphs or {}).get(name, b"no graph"), "cluster") for name in GRAPHS},
        **{name: ((graphs or {}).get(name, b"no graph"), "device") for name in DEVICE_GRAPHS},
        **{name: (_npy(array), "both") for name, array in _arrays().items()},
    }
    for name, (data, _) in sides.items():
        (folder / name).write_bytes(data)
    manifest = Manifest(
        schema=MANIFEST_SCHEMA,
        backbone="fuzz",
        created_by="isthmus",
        input=Input(SIDE, SIDE, SIDE),
        labels="labels.txt",
        baseline_top1=0.0,
        options=_options(),
        files=tuple(FileEntry(name, sha256(data).hexdigest(), len(data), side) for name, (data, side) in sides.items()),
    )
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "cluster")


def sample(option: Option, seed: int = 0) -> NDArray[Any]:
    """Make a frame that an option can encode, the same for the same seed."""
    rng = np.random.default_rng(seed)
    if option.form.dtype == "float32":
        return rng.laplace(0, 2, option.form.shape).astype(np.float32)
    rows = np.arange(np.prod(option.form.shape)).reshape(option.form.shape)
    return (rows * (seed + 1) + rng.integers(0, 16, option.form.shape)).astype(np.uint8)


def looks(bundle: Bundle, option: Option, seed: int = 0) -> list[bytes]:
    """Give the bitstreams of all looks at one frame."""
    frame = sample(option, seed)
    return [
        bundle.coding(option).encode(frame), *(further.encode(frame) for further in bundle.refinements(option))
    ]  # fmt: skip


def _options() -> tuple[Option, ...]:
    found: list[Option] = []

    def add(point: PointName, coder: Any, shape: tuple[int, int, int], graph: str, **changes: Any) -> None:
        device_graph = {given: name for name, given in DEVICE_GRAPHS.items()}.get(point)
        files: dict[str, Any] = {"device_graph": device_graph, "tables": None, "gains": None, "quality": None}
        option = Option(
            id=OptionId(len(found)), point=point, codec="fuzz", rate=str(len(found)), coder=coder, shape=shape,
            cluster_graph=graph, macs=Macs(0, 0, 0, 0), measured=UNMEASURED, **{**files, **changes},
        )  # fmt: skip
        found.append(option)

    qualities = (("jpeg", 80), ("png", None), ("webp", 80))
    for coder, quality in (*qualities, ("raw", None)):
        add(INPUT, coder, (3, SIDE, SIDE), "pixels.onnx", quality=quality)
    for coder, quality in (*qualities, ("raw", None)):
        add(MIDDLE, coder, MIDDLE_SHAPE, "middle.onnx", quality=quality)
    add(MIDDLE, "huffman", MIDDLE_SHAPE, "middle.onnx", tables="huffman.npy")
    add(MIDDLE, "huffman", MIDDLE_SHAPE, "middle.onnx", tables="huffman-one.npy")
    add(REAL, "float32", REAL_SHAPE, "real.onnx")
    for refinements in _REFINEMENTS:
        further = tuple(Refinement(0.5, "refined.npy", f"gains-{look}.npy") for look in range(1, refinements + 1))
        add(REAL, "rans", REAL_SHAPE, "real.onnx", tables="rans.npy", gains="gains-0.npy", refinements=further)
    add(REAL, "rans", REAL_SHAPE, "real.onnx", tables="rans-deep.npy", gains="gains-2.npy")
    return tuple(found)


def _arrays() -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(7)
    channels = REAL_SHAPE[0]
    # The last channel is silent, as in real bundles.
    coded = np.arange(channels) < channels - 1
    likely = 4096 >> np.arange(LEVELS)
    contexts = np.array([0, 4, 12])
    counts = rng.integers(1, 100, (channels, contexts.size, LEVELS)) * likely
    refined = np.array([0, 6, CLASS_ACTIVITY, 2 * CLASS_ACTIVITY])
    near = np.array([3, 9, 30, 90, 30, 9, 3, 1])
    arrays: dict[str, NDArray[Any]] = {
        "huffman.npy": rng.integers(1, 60000, (MIDDLE_SHAPE[0], 256)).astype(np.uint16),
        "huffman-one.npy": np.minimum(2.0 ** np.arange(256), 60000).astype(np.uint16)[None],
        "rans.npy": integer_tables(counts, np.tile(contexts, (channels, 1)), coded * (LEVELS - 1)),
        "rans-deep.npy": integer_tables(np.ones((channels, 1, 128), np.int64), np.zeros((channels, 1), np.int64)),
        "refined.npy": integer_tables(
            np.tile(near, (channels, refined.size, 1)), np.tile(refined, (channels, 1)), coded * (SYMBOLS - 1)
        ),
    }
    for look, step in enumerate(STEPS):
        arrays[f"gains-{look}.npy"] = np.tile(np.array([[1 / step], [step]], np.float32), (1, channels))
    return arrays


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
