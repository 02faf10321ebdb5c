"""The real agent against the real cluster: a real clip, every policy, a bad link, a clean installation."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningCluster, agent, isthmus
from replayed_image import ReplayedImage

from cluster.free_ports import free_ports
from loadtests.clips import clip_path
from loadtests.link_script import LinkState
from loadtests.relay import Relay

pytestmark = pytest.mark.service


def play(url: str, cache: Path, *words: str, timeout_s: float = 120) -> list[dict[str, Any]]:
    command = agent("--server", url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--json", *words)
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def frames(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == "frame"]


def test_every_policy_answers_every_frame_where_it_says(cluster: RunningCluster, cache: Path) -> None:
    interior = [point for point in cluster.bundle.points if point not in ("input", "output")]
    for policy, point, where in (
        ("device-only", "output", "device"),
        ("cluster-only", "input", "cluster"),
        *((f"fixed:{point}", point, "cluster") for point in interior),
    ):
        events = play(cluster.url, cache, "--policy", policy, "--frames", "8", "--fps", "0", "--deadline-ms", "3000")
        answered = frames(events)
        assert [frame["frame"] for frame in answered] == list(range(8))
        assert {frame["point"] for frame in answered} == {point}, policy
        assert {frame["where"] for frame in answered} == {where}, policy
        assert events[-1]["unanswered"] == 0


def test_a_line_names_option_label_latency_parts_and_bytes(cluster: RunningCluster, cache: Path) -> None:
    (frame,) = frames(play(cluster.url, cache, "--frames", "1", "--policy", "cluster-only", "--deadline-ms", "3000"))
    assert frame["bytes"] > 1000
    assert len(frame["top"]) == 5
    assert set(frame["parts_ms"]) >= {"device", "link", "cluster"}
    assert sum(frame["parts_ms"].values()) == pytest.approx(frame["latency_ms"], rel=0.3, abs=5)


async def test_frames_go_on_alone_while_the_link_is_down(cluster: RunningCluster, cache: Path) -> None:
    up = LinkState(20.0, 0.002)
    async with Relay(("127.0.0.1", cluster.port), state=up) as relay:
        process = await asyncio.create_subprocess_exec(
            *agent("--server", f"ws://127.0.0.1:{relay.address[1]}", "--source", str(clip_path("bikes"))),
            *("--cache", str(cache), "--json", "--frames", "90", "--fps", "10", "--policy", "cluster-only"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        seen: list[dict[str, Any]] = []
        try:
            assert process.stdout
            async with asyncio.timeout(60):
                async for line in process.stdout:
                    seen.append(json.loads(line))
                    answered = len(frames(seen))
                    if answered == 20:
                        relay.set_state(LinkState(None, 0.002))
                    if answered == 50:
                        relay.set_state(up)
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    answered = frames(seen)
    assert [frame["frame"] for frame in answered] == list(range(90))
    assert {frame["where"] for frame in answered[30:50]} == {"device"}
    assert all(frame["fallback"] for frame in answered[30:50])
    assert answered[-1]["where"] == "cluster"


def test_the_agent_fetches_the_bundle_once_and_only_its_own_side(cluster: RunningCluster, tmp_path: Path) -> None:
    first = play(cluster.url, tmp_path, "--frames", "1")
    second = play(cluster.url, tmp_path, "--frames", "1")
    assert any(event["event"] == "bundle.fetched" for event in first)
    assert not any(event["event"] == "bundle.fetched" for event in second)
    folder = tmp_path / "bundles" / cluster.bundle.digest
    assert (folder / "manifest.json").is_file()
    assert not list(folder.rglob("cluster.onnx"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--source", "no-such-clip.mp4"), 21),
        (("--source", "CLIP", "--policy", "fixed:blocks.99"), 12),
        (("--source", "CLIP", "--policy", "sometimes"), 2),
    ],
)
def test_a_bad_word_ends_the_agent_with_its_own_code(
    cluster: RunningCluster, cache: Path, words: tuple[str, ...], code: int
) -> None:
    said = [str(clip_path("bikes")) if word == "CLIP" else word for word in words]
    command = agent("--server", cluster.url, "--cache", str(cache), *said)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert "mend:" in done.stderr


def test_a_second_cluster_on_the_port_is_told_who_holds_it(cluster: RunningCluster) -> None:
    command = isthmus("up", str(cluster.bundle.directory), "--port", str(cluster.port))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 23
    assert "haproxy" in done.stderr


def test_a_bundle_that_was_changed_is_not_served(cluster: RunningCluster, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(cluster.bundle.directory, copy)
    with (copy / "labels.txt").open("a") as file:
        file.write("one more\n")
    done = subprocess.run(isthmus("up", str(copy)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 20
    assert "labels.txt" in done.stderr


def test_without_tokens_only_loopback_is_served(cluster: RunningCluster) -> None:
    command = isthmus("up", str(cluster.bundle.directory), "--host", "0.0.0.0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr


def test_the_agent_runs_and_is_healthy_where_its_image_alone_is_installed(
    cluster: RunningCluster, agent_image: ReplayedImage, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    command = [
        *agent_image.entrypoint, "--server", cluster.url, "--source", agent_image.root / "usr/share/isthmus/bikes.mp4",
        "--json", "--frames", "30", "--cache", tmp_path / "cache", "--policy", "cluster-only", "--deadline-ms", "3000",
        "--metrics-port", str(port),
    ]  # fmt: skip
    healthy = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=agent_image.environment) as process:
        assert process.stdout
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if len(frames(events)) in (5, 20) and events[-1]["event"] == "frame":
                healthy.append(agent_image.healthy(port))
    assert process.returncode == 0
    assert [frame["where"] for frame in frames(events)] == ["cluster"] * 30
    assert healthy == [True, True]
    assert not agent_image.healthy(port)
