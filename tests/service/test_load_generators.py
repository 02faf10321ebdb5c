"""Both generators against the real cluster: light agents, and Locust with real agents, its report and its page."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningCluster, agent

from cluster.free_ports import free_ports
from loadtests.child import Child
from loadtests.clips import clip_path

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]
RUN_TIMEOUT_S = 150.0


@pytest.fixture(scope="module")
def profiled(cluster: RunningCluster, cache: Path) -> Path:
    """The agents' cache, with this machine's profile in it."""
    command = agent(
        "--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--frames", "1"
    )
    subprocess.run([*command, "--json"], check=True, capture_output=True, timeout=RUN_TIMEOUT_S)
    return cache


def light(cluster: RunningCluster, cache: Path, *words: str) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "loadtests.light_command", "--server", cluster.url, "--bundle",
        str(cluster.bundle.directory), "--cache", str(cache), "--devices", "raspberry-pi-4b", "--fps", "4",
        "--deadline-ms", "3000", "--warm-s", "1", "--no-live", *words,
    ]  # fmt: skip
    with Child(command) as generator:
        return generator.wait_for("load.over", timeout_s=RUN_TIMEOUT_S)


@pytest.mark.parametrize(
    ("words", "option"), [(("--way", "camera"), "input/q75"), (("--policy", "fixed:blocks.9/r3"), "blocks.9/r3")]
)
def test_every_frame_of_light_agents_is_answered(
    cluster: RunningCluster, profiled: Path, words: tuple[str, ...], option: str
) -> None:
    figures = light(cluster, profiled, "--steps", "5:3", *words)["figures"]
    assert figures["due"] == 4 * 4 * 3
    assert (figures["unanswered"], figures["by_cluster"]) == (0, figures["due"])
    assert list(figures["by_option"]) == [option]
    assert figures["busy_s"] > 0


def test_light_agents_may_be_dealt_out_among_processes(cluster: RunningCluster, profiled: Path) -> None:
    over = light(cluster, profiled, "--steps", "4:4", "--loops", "2")
    assert over["figures"]["due"] == 4 * 3 * 4
    assert over["figures"]["unanswered"] == 0
    assert over["loads"], "the first process reads what the cluster publishes"


def test_light_agents_answer_alone_where_there_is_no_cluster(cluster: RunningCluster, profiled: Path) -> None:
    (port,) = free_ports(1)
    nowhere = RunningCluster(cluster.bundle, port, 0)
    figures = light(nowhere, profiled, "--steps", "4:2", "--policy", "device-only")["figures"]
    assert figures["by_device"] == figures["due"] == 4 * 3 * 2


def locust(cluster: RunningCluster, cache: Path, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"ISTHMUS_CACHE": str(cache), "ISTHMUS_FPS": "4", "ISTHMUS_DEADLINE_MS": "3000"}
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--host", cluster.url, *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_locust_reports_the_frames_of_real_agents(cluster: RunningCluster, profiled: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    process = locust(
        cluster, profiled, "--headless", "-u", "2", "-r", "2", "-t", "12s", "--json", "--html", str(report)
    )
    told, errors = process.communicate(timeout=RUN_TIMEOUT_S)
    assert process.returncode == 0, errors
    rows = [row for row in json.loads(told) if row["method"] in ("cluster", "device")]
    assert sum(row["num_requests"] for row in rows) > 20
    assert all("/" in row["name"] for row in rows)
    assert any(row["name"] in report.read_text(encoding="utf-8") for row in rows)


def test_the_host_of_locust_s_agents_says_nothing_but_events_even_where_frames_fall_back(
    cluster: RunningCluster, profiled: Path
) -> None:
    slow = {"ISTHMUS_LINKS": "mud=0:0.1", "ISTHMUS_POLICY": "fixed:input/q75", "ISTHMUS_DEADLINE_MS": "300"}
    with subprocess.Popen(
        [sys.executable, "-m", "loadtests.locust_host", "--server", cluster.url],
        cwd=ROOT, env=os.environ | slow | {"ISTHMUS_CACHE": str(profiled)}, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as host:  # fmt: skip
        try:
            assert host.stdin is not None
            assert host.stdout is not None
            start = {"do": "start", "agent": "locust-0", "device": "raspberry-pi-4b", "link": "mud"}
            host.stdin.write(json.dumps(start) + "\n")
            host.stdin.flush()
            said = (json.loads(line) for line in host.stdout)
            assert any(event["event"] == "frame" and event["fallback"] for event in said)
            host.stdin.close()
            assert {event["event"] for event in said} <= {"frame", "link"}
            assert host.wait(RUN_TIMEOUT_S) == 0
        finally:
            host.kill()


def test_locust_s_page_has_a_tab_of_cuts(cluster: RunningCluster, profiled: Path) -> None:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    words = (
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(port),
        "--autostart",
        "--autoquit",
        "1",
        "-u",
        "1",
        "-t",
        "15s",
    )
    process = locust(cluster, profiled, *words)
    try:
        until_s = time.monotonic() + RUN_TIMEOUT_S
        rows: list[dict[str, Any]] = []
        while not rows and time.monotonic() < until_s and process.poll() is None:
            time.sleep(0.5)
            try:
                with urllib.request.urlopen(f"{address}/stats/requests", timeout=5) as response:
                    (cuts,) = json.load(response)["extended_stats"]
                    rows = cuts["data"]
                with urllib.request.urlopen(address, timeout=5) as response:
                    page = response.read().decode()
            except (urllib.error.URLError, KeyError, ConnectionError):
                continue
        assert rows, "no frame was seen on the page"
        assert rows[0]["frames"] > 0
        assert "isthmus-cuts" in page
    finally:
        process.terminate()
        process.communicate(timeout=60)
