"""Bad devices over real sockets, at the real web application of real tails, and at servers with a fault each."""

import asyncio
import contextlib
from contextlib import AsyncExitStack

import psutil
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from cluster.cli.fuzz_bundle import write_served_bundle
from cluster.cli.fuzz_replica import open_replicas
from cluster.free_ports import free_ports
from loadtests import fuzz_cluster
from loadtests.fuzz_cluster import ClusterFuzz
from wire.bundle import Bundle
from wire.errors import TailFailed
from wire.messages import pack, reject_from, unpack

INPUTS = 120
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def bundle(tmp_path):
    return write_served_bundle(tmp_path / "bundle")


@contextlib.asynccontextmanager
async def served(app):
    (port,) = free_ports(1)
    settings = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
            await asyncio.sleep(0.01)
        yield "127.0.0.1", port
    finally:
        server.should_exit = True
        await serving


async def fuzzed(app, bundle: Bundle, folder, inputs=INPUTS):
    async with served(app) as address:
        fuzz = ClusterFuzz(bundle, address, [], seed=1, out=folder)
        await fuzz.run(inputs, 60.0, psutil.Process(), lambda _: None)
    return fuzz.found


async def test_a_good_device_is_answered_while_many_bad_ones_do_their_worst(bundle, tmp_path):
    async with AsyncExitStack() as stack:
        replicas = await open_replicas(bundle, stack)
        points = [Mount(f"/v1/points/{point}", app) for point, (_, app) in replicas.items()]
        found = await fuzzed(Starlette(routes=points), bundle, tmp_path)
        assert all(tail.load().in_flight == 0 for tail, _ in replicas.values())
    assert not found.findings
    assert found.record.inputs == INPUTS
    assert found.record.outcomes["accepted"] > 0
    assert len(found.record.outcomes) > 4
    assert len(found.probes_s) >= len(replicas)


async def test_a_server_that_answers_500_is_found(bundle, tmp_path):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b"oh"})

    found = await fuzzed(app, bundle, tmp_path)
    assert any("answered with 500" in finding.says for finding in found.findings)


async def test_a_replica_that_fails_at_a_frame_and_says_so_is_found(bundle, tmp_path):
    async def app(scope, receive, send):
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            with contextlib.suppress(Exception):
                unpack(event["bytes"])
                failed = TailFailed("the replica failed at this frame; its log says more")
                await send({"type": "websocket.send", "bytes": pack(reject_from(failed, 1))})

    found = await fuzzed(app, bundle, tmp_path)
    assert any("failed at a frame" in finding.says for finding in found.findings)


async def test_a_good_device_that_is_not_answered_is_a_hang(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_cluster, "PROBE_S", 0.3)

    async def app(scope, receive, send):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
        else:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    found = await fuzzed(app, bundle, tmp_path, inputs=4)
    assert any(finding.kind == "hang" and "a good device at input got []" in finding.says for finding in found.findings)
