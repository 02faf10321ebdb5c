"""A real cluster that grows under load, shrinks, sleeps and changes its bundle, while frames flow and none fails."""

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import START_TIMEOUT_S, RunningCluster, agent, isthmus
from doctor_run import examined
from renamed_bundle import renamed
from stream_fleet import Fleet

from cluster.free_ports import free_ports
from loadtests.child import Child
from loadtests.clips import clip_path
from serve_apps.readiness import option_bitstream
from wire.bundle import Bundle
from wire.manifest import Option

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

BUSY, SLEEPY = "blocks.3", "blocks.9"
WAIT_S = 180.0
MUCH_BUSY = 0.5

CONFIG = f"""\
bundle: {{bundle}}
only: [{BUSY}, {SLEEPY}]
listen: {{{{port: {{port}}}}}}
every_point: {{{{min: 1, max: 1}}}}
points:
  # Half of what a replica can do is enough to want two of them.
  {BUSY}: {{{{min: 1, max: 2, busy: 0.35, queue_ms: 2000, up_s: 1, down_s: 5}}}}
  {SLEEPY}: {{{{min: 0, max: 1, idle_s: 12}}}}
"""


@pytest.fixture(scope="module")
def elastic(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    folder = tmp_path_factory.mktemp("elastic")
    (port,) = free_ports(1)
    config = folder / "cluster.yaml"
    config.write_text(CONFIG.format(bundle=bundle.directory, port=port))
    with Child(isthmus("up", "--config", str(config), "--json"), log=folder / "up.log") as child:
        child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        yield RunningCluster(bundle, port, child.process.pid)
        child.stop()


def option_at(bundle: Bundle, point: str) -> Option:
    return next(option for option in bundle.manifest.options if option.point == point)


def fleet(cluster: RunningCluster, point: str, count: int, *, fps: float) -> Fleet:
    option = option_at(cluster.bundle, point)
    return Fleet.running(
        f"{cluster.url}/v1/points/{point}/stream",
        count,
        fps=fps,
        bundle=cluster.bundle.digest,
        option_id=option.id,
        bitstream=option_bitstream(cluster.bundle, option),
    )


def ask(cluster: RunningCluster, path: str, method: str = "GET") -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def signal(cluster: RunningCluster, point: str) -> dict:
    return next(each for each in ask(cluster, "/v1/load")[1]["points"] if each["point"] == point)


async def until(cluster: RunningCluster, point: str, **wanted: object) -> dict:
    """Wait until a point's signal has these values."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        now = await asyncio.to_thread(signal, cluster, point)
        if all(now[name] == value for name, value in wanted.items()):
            return now
        await asyncio.sleep(0.25)
    raise AssertionError(f"{point} is not {wanted} after {WAIT_S} s, but {now}")


async def so(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for is a state of the fleet
            await asyncio.sleep(0.2)


async def test_a_point_grows_under_load_its_agents_spread_and_it_shrinks_again_without_a_failed_frame(
    elastic: RunningCluster,
) -> None:
    # More than a replica may be busy, and less than it can do while another starts beside it, on any machine.
    enough = MUCH_BUSY / signal(elastic, BUSY)["service_s"]
    async with fleet(elastic, BUSY, 12, fps=enough / 12) as load:
        assert set(load.replicas.values()) == {12}
        await until(elastic, BUSY, replicas=2)
        await so(lambda: len(load.replicas) == 2 and min(load.replicas.values()) >= 4)
        assert load.tally.went["to even out the load"] + load.tally.went["its way here will be closed"] >= 4
    assert load.tally.failures == []
    assert load.tally.answered == load.tally.sent > 0
    async with fleet(elastic, BUSY, 8, fps=0.2) as trickle:
        assert len(trickle.replicas) == 2
        await until(elastic, BUSY, replicas=1)
        await so(lambda: len(trickle.replicas) == 1)
        assert trickle.tally.went["the replica stops"] >= 1
        await asyncio.sleep(4)  # what goes on after the old replica's sockets are closed
    assert trickle.tally.failures == []
    assert trickle.tally.answered == trickle.tally.sent > 0


async def test_a_point_that_nobody_uses_sleeps_and_wakes_when_it_is_wanted(elastic: RunningCluster) -> None:
    # It was asked a frame when the cluster started, and begins without a replica.
    cold = await until(elastic, SLEEPY, state="cold")
    assert (cold["replicas"], cold["cold_start_s"]) == (0, 10.0)
    assert ask(elastic, "/v1/healthz")[1]["ready"]
    for _ in range(3):
        status, said = ask(elastic, f"/v1/wake?point={SLEEPY}", "POST")
        assert status == 202
        assert said["state"] == "starting"
        assert 0 < said["cold_start_s"] <= 10
    began_s = time.monotonic()
    await until(elastic, SLEEPY, state="ready")
    took_s = time.monotonic() - began_s
    async with fleet(elastic, SLEEPY, 1, fps=4) as camera:
        await asyncio.sleep(14)  # longer than its idle time
        assert signal(elastic, SLEEPY)["state"] == "ready"
    assert camera.tally.failures == []
    cold = await until(elastic, SLEEPY, state="cold")
    assert cold["cold_start_s"] == pytest.approx(took_s, abs=3)
    assert ask(elastic, "/v1/wake?point=nowhere", "POST")[0] == 404


async def test_the_doctor_wakes_a_point_that_sleeps_and_says_how_long_that_took(
    elastic: RunningCluster, cache: Path
) -> None:
    await until(elastic, SLEEPY, state="cold")
    found = await asyncio.to_thread(examined, elastic.url, cache)
    assert found.code == 0, found.text
    assert found.one("load", SLEEPY)["verdict"] == "warn"
    assert "sleeps: no replica runs" in found.one("load", SLEEPY)["sentence"]
    assert "woken in " in found.one("frame", SLEEPY)["sentence"]
    assert found.one("frame", SLEEPY)["figures"]["woken_s"] > 1
    assert found.one("frame", BUSY)["figures"]["woken_s"] == 0
    assert found.one("frame", "input")["verdict"] == "skipped"


async def test_a_cluster_takes_a_new_bundle_while_an_agent_and_raw_streams_lose_no_frame(
    elastic: RunningCluster, tmp_path: Path, cache: Path
) -> None:
    old = elastic.bundle
    new = renamed(old, tmp_path / "new", "another release")
    source = ("--source", str(clip_path("bikes")), "--loop", "--fps", "3", "--deadline-ms", "8000")
    words = ("--server", elastic.url, *source, "--policy", f"fixed:{BUSY}", "--cache", str(cache), "--json")
    with Child(agent(*words), log=tmp_path / "agent.log") as device:
        device.wait_for("frame", timeout_s=120)
        async with fleet(elastic, BUSY, 4, fps=2) as load:
            await asyncio.sleep(2)
            update = await asyncio.create_subprocess_exec(
                *isthmus("update", str(new.directory), elastic.url, "--within", "25")
            )
            await so(lambda: {streamer.newest for streamer in load.streamers} == {new.digest})
            # All have heard of the new bundle and none has lost the old one; they take it one after the other.
            assert ask(elastic, "/v1/version")[1]["bundle"] == new.digest
            for streamer in load.streamers:
                assert streamer.bundle == old.digest
                streamer.use_bundle(new.digest)
                await streamer.move()
                await asyncio.sleep(0.5)
            async with asyncio.timeout(WAIT_S):
                assert await update.wait() == 0
            await asyncio.sleep(2)
        assert load.tally.failures == []
        assert load.tally.answered == load.tally.sent > 0
        device.stop()
        said = list(device.events())
    assert [event["bundle"] for event in said if event["event"] == "bundle.swapped"] == [new.digest]
    frames = [event for event in said if event["event"] == "frame"]
    assert [(frame["frame"], frame["fallback"]) for frame in frames if frame["where"] != "cluster"] == []
    assert len(frames) > 20
    assert ask(elastic, "/v1/update")[1]["state"] == "done"
    assert ask(elastic, f"/v1/bundle/{old.digest}/manifest.json")[0] == 409
