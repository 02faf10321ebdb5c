"""A tiny real bundle, a tiny real cluster and an agent process, for the tests of the agent; no tests here."""

import asyncio
import hashlib
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from serve_apps.stream_memory import StreamMemory
from wire.bundle import Bundle
from wire.errors import LookMissing
from wire.ids import PointName
from wire.manifest import (
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    Refinement,
    digest_of,
    dump_manifest,
)
from wire.messages import Frame, Hello, LoadSignal, Reject, Result, Timings, Welcome, pack, reject_from, unpack
from wire.rans_tables import integer_tables
from wire.records import to_plain

SIDE = 32
ROOT = Path(__file__).parents[2]
AGENT = (sys.executable, "-m", "device_agent.main")
CLUSTER_LABEL = 7
STEPS = (8.0, 2.0, 0.5)
"""Of the quantiser of each look, where shallow/r1 has several."""


def symbols_graph(pool: int, kind: int = TensorProto.UINT8) -> bytes:
    """Pixels (1, 32, 32, 3) → the means of blocks of pool × pool as symbols (1, 3, 32/pool, 32/pool) of a type."""
    side = SIDE // pool
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=[pool, pool], strides=[pool, pool]),
        helper.make_node("Cast", ["means"], ["symbols"], to=kind),
    ]
    return _graph(nodes, helper.make_tensor_value_info("symbols", kind, [1, 3, side, side]))


def whole_graph() -> bytes:
    """Pixels → probabilities (1, 1000), the best of which is the class 0 for every picture but a black one."""
    slopes = np.linspace(0.2, 0.0, 1000, dtype=np.float32)[None]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "slopes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 1000])
    constant = helper.make_tensor("slopes", TensorProto.FLOAT, slopes.shape, slopes.tobytes(), raw=True)
    return _graph(nodes, output, [constant])


def _graph(nodes: list[Any], output: Any, constants: list[Any] | None = None) -> bytes:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])
    graph = helper.make_graph(nodes, "tiny", [pixels], [output], constants or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_bundle(folder: Path, *, created_by: str = "tests", leads: tuple[float, ...] = ()) -> Bundle:
    """Write a whole bundle with the points input, shallow, deep and output.

    With up to two ``leads``, shallow/r1 sends real symbols and has so many refinements.
    """
    contents: dict[str, tuple[bytes, Any]] = {
        "labels.txt": ("".join(f"label {n}\n" for n in range(1000)).encode(), "both"),
        "shallow/head.onnx": (symbols_graph(4), "device"),
        "shallow/real.onnx": (symbols_graph(4, TensorProto.FLOAT), "device"),
        "deep/head.onnx": (symbols_graph(16), "device"),
        "whole.onnx": (whole_graph(), "device"),
        **{f"{point}/tail.onnx": (b"not for the device", "cluster") for point in ("input", "shallow", "deep")},
        "tables.npy": (npy(np.full((3, 256), 5, np.uint16)), "both"),
        "rans.npy": (npy(even_tables(64)), "both"),
        "refined.npy": (npy(even_tables(8)), "both"),
        **{f"gains-{look}.npy": (npy(gains(step)), "both") for look, step in enumerate(STEPS)},
    }
    for name, (data, _) in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    files = tuple(
        FileEntry(name, hashlib.sha256(data).hexdigest(), len(data), side) for name, (data, side) in contents.items()
    )
    shallow = option_of(1, "shallow", "huffman", (3, 8, 8), 204.0, head="shallow/head.onnx")
    manifest = Manifest(
        schema=MANIFEST_SCHEMA,
        backbone="tiny",
        created_by=created_by,
        input=Input(SIDE, SIDE, 36),
        labels="labels.txt",
        baseline_top1=0.5,
        options=(
            option_of(0, "input", "jpeg", (3, SIDE, SIDE), 900.0),
            many_looks(shallow, leads) if leads else shallow,
            option_of(2, "deep", "huffman", (3, 2, 2), 24.0, head="deep/head.onnx"),
            option_of(3, "output", "none", (1, 1, 1), 0.0, head="whole.onnx"),
        ),
        files=files,
    )
    data = dump_manifest(manifest)
    (folder / "manifest.json").write_bytes(data)
    return Bundle(folder, manifest, digest_of(data), "cluster")


def option_of(
    number: int, point: str, coder: Any, shape: tuple[int, ...], mean: float, *, head: str | None = None
) -> Option:
    measured = Measured(
        dataset="none",
        pictures=0,
        top1=0.5,
        top1_drop=0.0,
        top5=0.9,
        top5_drop=0.0,
        agreement=1.0,
        bytes_mean=mean,
        bytes_p95=mean,
    )
    return Option(
        id=number,
        point=PointName(point),
        codec=coder,
        rate="r1",
        coder=coder,
        shape=shape,
        device_graph=head,
        cluster_graph=None if coder == "none" else f"{point}/tail.onnx",
        tables="tables.npy" if coder == "huffman" else None,
        gains=None,
        quality=80 if coder == "jpeg" else None,
        macs=Macs(1, 1, 1, 1),
        measured=measured,
    )


def many_looks(own: Option, leads: tuple[float, ...]) -> Option:
    """Give an option of the same point and rate that has a refinement for each lead."""
    refinements = tuple(Refinement(lead, "refined.npy", f"gains-{look}.npy") for look, lead in enumerate(leads, 1))
    return replace(
        own,
        coder="rans",
        device_graph="shallow/real.onnx",
        tables="rans.npy",
        gains="gains-0.npy",
        refinements=refinements,
    )


def npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def even_tables(symbols: int) -> np.ndarray[Any, Any]:
    return integer_tables(np.ones((3, 1, symbols), np.int64), np.zeros((3, 1), np.int64))


def gains(step: float) -> np.ndarray[Any, Any]:
    return np.array([[1 / step] * 3, [step] * 3], np.float32)


def load_of(point: str) -> LoadSignal:
    return LoadSignal(
        point=PointName(point),
        state="ready",
        service_s=0.001,
        queue_s=0.0,
        utilisation=0.1,
        in_flight=1,
        replicas=1,
    )


@dataclass
class Cluster:
    """Answers every frame, unless a test puts another ``on_frame`` in; ``missed`` are those without the look before."""

    bundle: Bundle
    port: int = 0
    hellos: list[tuple[str, Hello]] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    replaced: dict[str, bytes] = field(default_factory=dict)
    memories: dict[ServerConnection, StreamMemory] = field(default_factory=dict)
    missed: list[int] = field(default_factory=list)
    on_frame: Callable[["Cluster", ServerConnection, str, Frame], Awaitable[None]] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        point = socket.request.path.split("/")[3]
        try:
            hello = unpack(await socket.recv())
            assert isinstance(hello, Hello)
            self.hellos.append((point, hello))
            if hello.bundle != self.bundle.digest:
                await socket.send(pack(reject_of(None, "wrong_bundle")))
                return
            self.memories[socket] = StreamMemory()
            await socket.send(pack(Welcome("replica", self.bundle.digest, load_of(point))))
            async for data in socket:
                frame = unpack(data)
                assert isinstance(frame, Frame)
                self.frames.append(frame)
                await (self.on_frame or answer)(self, socket, point, frame)
        except ConnectionClosed:
            pass
        finally:
            self.memories.pop(socket, None)

    def http(self, _: ServerConnection, request: Request) -> Response | None:
        if request.path.endswith("/stream"):
            return None
        self.fetched.append(request.path)
        body = self._body(request.path)
        status = HTTPStatus.OK if body is not None else HTTPStatus.NOT_FOUND
        body = body or b""
        headers = Headers({"Content-Length": str(len(body)), "Connection": "close"})
        return Response(status, status.phrase, headers, body)

    def _body(self, path: str) -> bytes | None:
        base = f"/v1/bundle/{self.bundle.digest}/"
        if path in self.replaced:
            return self.replaced[path]
        if path == "/v1/version":
            return json.dumps({"isthmus": "0.1.0", "protocol": 1, "bundle": self.bundle.digest}).encode()
        if path == "/v1/load":
            points = [to_plain(load_of(point)) for point in ("input", "shallow", "deep")]
            return json.dumps({"points": points}).encode()
        if path.startswith(base):
            return (self.bundle.directory / unquote(path.removeprefix(base).removeprefix("files/"))).read_bytes()
        return None


async def answer(cluster: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
    """Decode the frame for real, and answer it."""
    try:
        decode(cluster, socket, point, frame)
    except LookMissing as error:
        cluster.missed.append(frame.frame_id)
        await socket.send(pack(reject_from(error, frame.frame_id)))
    else:
        await socket.send(pack(result_of(frame, point)))


def decode(cluster: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
    option = cluster.bundle.option(frame.option_id)
    assert option.point == point
    option.form.check(cluster.memories[socket].decode(cluster.bundle, option, frame))


def result_of(frame: Frame, point: str) -> Result:
    return Result(
        frame_id=frame.frame_id,
        option_id=frame.option_id,
        labels=(CLUSTER_LABEL, 3, 2, 1, 0),
        scores=(0.5, 0.2, 0.1, 0.05, 0.01),
        batch_size=1,
        timings=Timings(decode_s=0.0001, queue_s=0.0, compute_s=0.0002, total_s=0.0004),
        load=load_of(point),
    )


def reject_of(frame_id: int | None, code: str) -> Reject:
    return Reject(frame_id=frame_id, code=code, message="no", retryable=False, retry_after_s=0.0, load=None)


@asynccontextmanager
async def running(cluster: Cluster) -> AsyncIterator[Server]:
    """Listen; on the port of the time before, if there was one."""
    async with serve(
        cluster.handle,
        "127.0.0.1",
        cluster.port,
        process_request=cluster.http,
        compression=None,
        close_timeout=0.2,
    ) as server:
        cluster.port = next(iter(server.sockets)).getsockname()[1]
        yield server


@dataclass(frozen=True)
class Run:
    """What an agent process said, line by line, and how it ended."""

    code: int
    lines: list[dict[str, Any]]
    stderr: str

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return self.events("frame")

    @property
    def summary(self) -> dict[str, Any]:
        assert self.lines, self.stderr
        assert self.lines[-1]["event"] == "summary", self.stderr
        return self.lines[-1]


@asynccontextmanager
async def agent_process(*args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *AGENT, *args, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run_agent(server: str, source: Path | str, cache: Path, *args: str) -> Run:
    """Run an agent to its end, 20 s at most, with answers as JSON lines."""
    async with agent_process(
        "--server", server, "--source", str(source), "--cache", str(cache), "--json", *args
    ) as process:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    assert process.returncode is not None
    return Run(process.returncode, [json.loads(line) for line in out.splitlines()], err.decode())


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    for number in range(count):
        Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number:03}.png")
    return folder
