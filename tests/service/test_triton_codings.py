"""A tail on a real Triton, without Ray: what the coders give reaches the graph in the form that Triton was told."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cluster.triton.client import TritonClient
from cluster.triton.repository import ModelSpec
from cluster.triton.server import TritonServer
from serve_apps.backends import TritonBackend
from serve_apps.tail import Tail
from serve_apps.triton_keeper import TritonKeeper
from serve_apps.triton_models import ModelUser
from wire.bundle import Bundle
from wire.ids import OptionId, PointName
from wire.manifest import MANIFEST_SCHEMA, FileEntry, Input, Macs, Manifest, Measured, Option, dump_manifest
from wire.messages import Frame, Result
from wire.rans_tables import integer_tables
from wire.tensor_form import TensorForm

pytestmark = pytest.mark.service

POINT = PointName("real")
SHAPE = (3, 4, 5)
LABELS = b"red\ngreen\nblue\n"
MEASURED = Measured(
    dataset="none", pictures=0, top1=0, top1_drop=0, top5=0, top5_drop=0, agreement=0, bytes_mean=0, bytes_p95=0
)
FLOAT32 = Option(
    id=OptionId(0), point=POINT, codec="c", rate="plain", coder="float32", shape=SHAPE, device_graph="device.onnx",
    cluster_graph="means.onnx", tables=None, gains=None, quality=None, macs=Macs(1, 1, 1, 1), measured=MEASURED,
)  # fmt: skip
RANS = replace(FLOAT32, id=OptionId(1), rate="quantised", coder="rans", tables="tables.npy", gains="gains.npy")


def means_graph() -> bytes:
    """Real symbols (N, 3, 4, 5) to the mean of every channel (N, 3)."""
    symbols = helper.make_tensor_value_info("symbols", TensorProto.FLOAT, ["N", *SHAPE])
    means = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", SHAPE[0]])
    node = helper.make_node("ReduceMean", ["symbols"], ["probabilities"], axes=[2, 3], keepdims=0)
    graph = helper.make_graph([node], "means", [symbols], [means])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("real")
    (folder / "labels.txt").write_bytes(LABELS)
    (folder / "means.onnx").write_bytes(means_graph())
    (folder / "device.onnx").write_bytes(b"not for the cluster")
    np.save(folder / "tables.npy", integer_tables(np.ones((3, 1, 64), np.int64), np.zeros((3, 1), np.int64)))
    np.save(folder / "gains.npy", np.array([[4.0] * 3, [0.25] * 3], np.float32))
    files = tuple(
        FileEntry(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size, "both")
        for path in folder.iterdir()
    )
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="means", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=(FLOAT32, RANS), files=files,
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "cluster")


@pytest.fixture
async def tail(real_bundle: Bundle, tmp_path: Path) -> AsyncIterator[Tail]:
    user = ModelUser.here("replica")
    async with TritonKeeper(TritonServer(tmp_path)) as keeper, TritonClient(await keeper.address()) as client:

        def make_backend(graph: str, form: TensorForm) -> TritonBackend:
            spec = ModelSpec(name="means", graph=real_bundle.path(graph), form=form, classes=3, max_batch=8)
            return TritonBackend(
                spec,
                client,
                acquire=lambda spec: keeper.acquire(spec, user),
                release=lambda name: keeper.release(name, user),
            )

        async with Tail(real_bundle, POINT, make_backend, replica_id="replica", max_batch=8) as opened:
            yield opened


async def test_a_real_triton_takes_float32_from_either_coder_in_one_batch(real_bundle: Bundle, tail: Tail) -> None:
    sent = np.arange(60, dtype=np.float32).reshape(SHAPE) / 4 - 5
    wanted = sent.mean(axis=(1, 2))[::-1]
    frames = [
        Frame(frame_id=number, option_id=option.id, budget_s=20.0, bitstream=real_bundle.coding(option).encode(sent))
        for number, option in enumerate((FLOAT32, RANS) * 4)
    ]
    answers = await asyncio.gather(*(tail.answer(frame) for frame in frames))
    for answer in answers:
        assert isinstance(answer, Result)
        assert answer.labels == (2, 1, 0)
        np.testing.assert_allclose(answer.scores, wanted, rtol=1e-6)
    assert max(answer.batch_size for answer in answers if isinstance(answer, Result)) > 2
