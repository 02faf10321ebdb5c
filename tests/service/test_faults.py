"""Parts of the real cluster are killed while a real agent uses it: no frame is lost, and the cluster comes back."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningCluster, agent

from cluster.cli.fault_processes import ClusterProcesses, Kind
from loadtests.child import Child
from loadtests.clips import clip_path
from serve_apps.readiness import probe_option

pytestmark = pytest.mark.service

SLEEPS = "import time, json; print(json.dumps({'event': 'up'}), flush=True); time.sleep(60)"
BACK_S = 60.0
KILLED_AT = 30
BACK_FRAMES = 10


@pytest.fixture
def whole(cluster: RunningCluster) -> Callable[[], None]:
    """Wait until every point answers again, for the tests that come after."""

    def wait() -> None:
        for option in cluster.bundle.manifest.options:
            if option.cluster_graph:
                probe_option(cluster.bundle, option, ("127.0.0.1", cluster.port), timeout_s=BACK_S)

    return wait


async def play(cluster: RunningCluster, cache: Path, strike: Callable[[], None]) -> list[dict[str, Any]]:
    """Have an agent send all it sees, strike, and stop the agent when the cluster answers again; gives its lines."""
    process = await asyncio.create_subprocess_exec(
        *agent("--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--json", "--loop"),
        *("--fps", "10", "--policy", "cluster-only", "--deadline-ms", "500"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    lines: list[dict[str, Any]] = []
    try:
        assert process.stdout
        async with asyncio.timeout(BACK_S):
            async for line in process.stdout:
                lines.append(json.loads(line))
                answers = frames(lines)
                if lines[-1].get("frame") == KILLED_AT:
                    await asyncio.to_thread(strike)
                if any(missed(answer) for answer in answers) and not any(map(missed, answers[-BACK_FRAMES:])):
                    process.send_signal(signal.SIGINT)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return lines


def frames(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "frame"]


def missed(answer: dict[str, Any]) -> bool:
    """Whether the device had to answer after the strike what was meant for the cluster."""
    return answer["frame"] >= KILLED_AT and answer["fallback"] is not None


@pytest.mark.parametrize("kind", ["triton", "replica"])
async def test_frames_go_on_and_come_back_to_the_cluster_when_a_part_of_it_dies(
    cluster: RunningCluster, cache: Path, whole: Callable[[], None], kind: Kind
) -> None:
    processes = ClusterProcesses(cluster.process_id)
    having = "point-input" if kind == "replica" else ""
    (victim,) = processes.of(kind, having)
    lines = await play(cluster, cache, lambda: processes.strike(kind, having=having))
    answers = frames(lines)
    assert [answer["frame"] for answer in answers] == list(range(len(answers)))
    assert lines[-1]["unanswered"] == 0
    assert any(map(missed, answers))
    assert answers[-1]["where"] == "cluster"
    await asyncio.to_thread(whole)
    (successor,) = processes.of(kind, having)
    assert successor.pid != victim.pid


def test_only_descendants_of_the_clusters_own_process_are_found(tmp_path: Path):
    haproxy = tmp_path / "haproxy"
    haproxy.symlink_to(sys.executable)
    with Child([str(haproxy), "-c", SLEEPS]) as stranger:
        stranger.wait_for("up", timeout_s=30)
        assert ClusterProcesses(stranger.process.pid).of("haproxy") == []
        parent = f"import subprocess; subprocess.run([{str(haproxy)!r}, '-c', {SLEEPS!r}])"
        with Child([sys.executable, "-c", parent]) as cluster:
            cluster.wait_for("up", timeout_s=30)
            processes = ClusterProcesses(cluster.process.pid)
            (found,) = processes.of("haproxy")
            processes.strike("haproxy", signal.SIGKILL)
            found.wait(10)
        assert stranger.process.poll() is None
