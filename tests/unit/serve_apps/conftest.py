import contextlib
import dataclasses
import hashlib
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# Beside this file, and in no package: a package here would hide the one under test.
sys.path.insert(0, str(Path(__file__).parent))

from serve_fakes import FakeBackend, frame

from serve_apps.tail import Tail
from wire.bitstream import Coder, Header, wrap
from wire.bundle import Bundle
from wire.manifest import (
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    Refinement,
    dump_manifest,
)
from wire.rans_tables import integer_tables

MEASURED = Measured(
    dataset="d", pictures=1, top1=1.0, top1_drop=0.0, top5=1.0, top5_drop=0.0, agreement=1.0, bytes_mean=1.0,
    bytes_p95=1.0,
)  # fmt: skip
SIDE = 32


def option(number, point, coder, shape, **changes):
    files = {"device_graph": "device.onnx", "cluster_graph": None, "tables": None, "gains": None, "quality": None}
    return Option(
        id=number, point=point, codec="c", rate="r", coder=coder, shape=shape, macs=Macs(1, 1, 1, 1),
        measured=MEASURED, **{**files, **changes},
    )  # fmt: skip


OPTIONS = (
    option(3, "input", "jpeg", (3, SIDE, SIDE), device_graph=None, cluster_graph="whole.onnx", quality=75),
    option(4, "mid", "huffman", (4, 2, 2), tables="tables.npy", cluster_graph="four.onnx"),
    option(5, "mid", "huffman", (4, 1, 3), tables="tables.npy", cluster_graph="five.onnx"),
    option(6, "output", "none", (1, 1, 1)),
    option(7, "mid", "raw", (4, 2, 2), cluster_graph="four.onnx"),
    option(8, "real", "float32", (1, 2, 2), cluster_graph="real.onnx"),
    option(9, "real", "rans", (1, 2, 2), cluster_graph="real.onnx", tables="rans.npy", gains="gains.npy"),
    option(
        10, "real", "rans", (1, 2, 2), cluster_graph="real.onnx", tables="rans.npy", gains="coarse.npy",
        refinements=(Refinement(0.3, "refined.npy", "gains.npy"), Refinement(0.2, "refined.npy", "fine.npy")),
    ),
    option(
        11, "real", "rans", (1, 2, 2), cluster_graph="real.onnx", tables="rans.npy", gains="coarse.npy",
        refinements=(Refinement(0.3, "refined.npy", "gains.npy"),),
    ),
)  # fmt: skip


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A whole bundle of which no graph is ever run."""
    folder = tmp_path_factory.mktemp("bundle") / "served"
    folder.mkdir()
    contents = {
        "device.onnx": (b"head", "device"),
        **{f"{name}.onnx": (b"tail", "cluster") for name in ("whole", "four", "five", "real")},
        "tables.npy": (npy(np.ones((4, 256), np.uint16)), "both"),
        "rans.npy": (npy(integer_tables(np.ones((1, 1, 32), np.int64), np.zeros((1, 1), np.int64))), "both"),
        "refined.npy": (npy(integer_tables(np.ones((1, 1, 8), np.int64), np.zeros((1, 1), np.int64))), "both"),
        **{
            f"{name}.npy": (npy(np.array([[1 / step], [step]], np.float32)), "both")
            for name, step in (("coarse", 2.0), ("gains", 0.5), ("fine", 0.125))
        },
        "labels.txt": (b"ant\nbee\ncat\ndog\n", "both"),
    }
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="b", created_by="test", input=Input(SIDE, SIDE, 36), labels="labels.txt",
        baseline_top1=1.0, options=OPTIONS,
        files=tuple(
            FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), side)
            for name, (data, side) in contents.items()
        ),
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "cluster")


@pytest.fixture
def make_bundle(bundle, tmp_path):
    """Makes bundles that differ from the shared one in their digest, and in their options if some are given."""

    def make(*, created_by, options=OPTIONS):
        folder = shutil.copytree(bundle.directory, tmp_path / created_by)
        changed = dataclasses.replace(bundle.manifest, created_by=created_by, options=options)
        (folder / "manifest.json").write_bytes(dump_manifest(changed))
        return Bundle.open(folder, "cluster")

    return make


@pytest.fixture
def backends():
    """The backends that the tails of a test made, by cluster graph."""
    return {}


@pytest.fixture
def make_tail(bundle, backends):
    def make(point, **settings):
        def make_backend(graph, form):
            assert graph not in backends or backends[graph].loaded == 0, "one backend a graph"
            return backends.setdefault(graph, FakeBackend())

        return Tail(bundle, point, make_backend, replica_id="replica-1", **settings)

    return make


@pytest.fixture
def open_tail(make_tail, backends):
    """Open a tail whose backends have forgotten the frames that warmed them up."""

    @contextlib.asynccontextmanager
    async def opened(point, **settings):
        async with make_tail(point, **settings) as tail:
            for backend in backends.values():
                backend.batches.clear()
            yield tail

    return opened


@pytest.fixture
async def tail(open_tail):
    async with open_tail("mid") as opened:
        yield opened


@pytest.fixture
async def input_tail(open_tail):
    async with open_tail("input") as opened:
        yield opened


@pytest.fixture
async def real_tail(open_tail):
    async with open_tail("real") as opened:
        yield opened


@pytest.fixture
def symbols():
    """The symbols of one frame of option 4; the fake backend gives their first four as its scores."""
    return np.array([9, 40, 7, 80, *range(12)], np.uint8).reshape(4, 2, 2)


@pytest.fixture
def bitstream(bundle, symbols):
    return bundle.coding(bundle.option(4)).encode(symbols)


@pytest.fixture
def looks_decoded():
    """What the three looks of ``look_frame`` come to at option 10, each in finer steps; the last is all of it."""
    return [
        np.array(values, np.float32).reshape(1, 2, 2)
        for values in ([0.0, 8.0, 2.0, -2.0], [0.5, 8.0, 2.5, -1.0], [0.625, 8.0, 2.5, -1.125])
    ]


@pytest.fixture
def look_frame(bundle, looks_decoded):
    """Make a look at one and the same frame, as a device does: 0 is the first look, and the others refine it."""

    def make(look, *, option_id=10, frame_id=1):
        option = bundle.option(option_id)
        coding = (bundle.coding(option), *bundle.refinements(option))[look]
        return frame(coding.encode(looks_decoded[-1]), option_id=option_id, frame_id=frame_id)

    return make


@pytest.fixture
def jpeg():
    """Make a JPEG of one colour."""

    def make(width=SIDE, height=SIDE, colour=(10, 200, 30)):
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), colour).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()

    return make


@pytest.fixture
def jpeg_frame(jpeg):
    """Make a frame of option 3 out of the bytes of a picture."""

    def make(picture=None):
        bitstream = wrap(Header(Coder.JPEG, 3), jpeg() if picture is None else picture)
        return frame(bitstream, option_id=3)

    return make
