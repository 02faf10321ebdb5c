"""A real Prometheus scrapes the real cluster and a real agent; people look at it with `isthmus top`."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import RunningCluster, agent, isthmus
from debian_binaries import ROOT, debian_binary
from prometheus_server import RULES, SHIPPED, Prometheus, expect_every_query_to_find_series, read, serving, until

from cluster.free_ports import free_ports
from loadtests.child import Child
from loadtests.clips import clip_path

pytestmark = pytest.mark.service

MONITORING = ROOT / "k8s" / "monitoring"
DOCUMENTED = re.compile(r"^\| `(isthmus_[a-z_]+)` \| (\w+)[^|]*\| ([^|]*)\|", re.MULTILINE)
OF_PROMETHEUS = {"__name__", "instance", "job", "le"}


@pytest.fixture(scope="module")
def camera(cluster: RunningCluster, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """An agent that streams on and on; gives the port of its metrics."""
    (port,) = free_ports(1)
    command = agent(
        "--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--json", "--loop",
        "--policy", "cluster-only", "--deadline-ms", "3000", "--device-id", "camera-7", "--metrics-port", str(port),
    )  # fmt: skip
    with Child(command, log=tmp_path_factory.mktemp("camera") / "agent.log") as child:
        child.wait_for("frame", timeout_s=60)
        yield port


@pytest.fixture(scope="module")
def lonely(
    cluster: RunningCluster, camera: int, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """An agent whose link went away, so that it answers alone; gives the port of its metrics."""
    folder = tmp_path_factory.mktemp("lonely")
    between, port = free_ports(2)
    relay = [
        sys.executable, "-m", "loadtests.relay", "--upstream", f"127.0.0.1:{cluster.port}", "--listen", str(between),
        "--script", "0:100",
    ]  # fmt: skip
    command = agent(
        "--server", f"ws://127.0.0.1:{between}", "--source", str(clip_path("bikes")), "--cache", str(cache), "--json",
        "--loop", "--fps", "2", "--policy", "cluster-only", "--device-id", "lonely", "--metrics-port", str(port),
    )  # fmt: skip
    with Child(relay, log=folder / "relay.log") as link:
        link.wait_for("relay.listening", timeout_s=30)
        with Child(command, log=folder / "agent.log") as child:
            child.wait_for("frame", timeout_s=60)
            link.stop()
            yield port


@pytest.fixture(scope="module")
def prometheus(
    cluster: RunningCluster, camera: int, lonely: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    text = (MONITORING / "prometheus.yml").read_text()
    for shipped, ours in (
        ("scrape_interval: 5s", "scrape_interval: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ("127.0.0.1:8765", f"127.0.0.1:{cluster.port}"),
        ('"127.0.0.1:9200"', f'"127.0.0.1:{camera}", "127.0.0.1:{lonely}"'),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    with serving(folder, text, RULES.read_text(), targets=3) as server:
        yield server


def test_prometheus_finds_every_documented_metric_with_the_labels_that_are_documented(prometheus: Prometheus) -> None:
    documented = DOCUMENTED.findall((ROOT / "docs" / "monitoring.md").read_text())
    assert len(documented) > 40
    for name, kind, labels in documented:
        series = f"{name}_count" if kind == "histogram" else name
        found = until(lambda series=series: prometheus.query(series), f"{series} was seen")
        named = set(re.findall(r"`(\w+)`", labels))
        for one in found:
            assert set(one["metric"]) - OF_PROMETHEUS == named, name
            assert one["metric"]["job"] == ("isthmus-agent" if name.startswith("isthmus_agent_") else "isthmus")


def test_the_cluster_s_count_of_frames_is_the_agent_s(prometheus: Prometheus, camera: int) -> None:
    until(lambda: prometheus.value("sum(isthmus_agent_frames_total)") > 20, "twenty frames were answered")
    answered = 'sum(isthmus_agent_frames_total{where="cluster"} offset 5s)'
    received = 'sum(isthmus_frames_total{point="input",code="ok"})'
    # The counts are some seconds apart, and others have asked the cluster before: it never falls behind for long.
    until(lambda: prometheus.value(received) >= prometheus.value(answered) > 20, "the cluster caught up")
    assert prometheus.value(f'isthmus_agent_option_info{{point="input",instance="127.0.0.1:{camera}"}}') == 1


def test_the_shipped_rules_and_configuration_are_good_and_their_figures_come(prometheus: Prometheus) -> None:
    promtool = debian_binary("prometheus", "prometheus").with_name("promtool")
    command = [str(promtool), "check", "config", str(MONITORING / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: prometheus.value('isthmus:frames:rate1m{point="input"}') > 1, "the rate of frames was recorded")
    assert 0 < prometheus.value('isthmus:total_seconds:p95_1m{point="input"}') < 3


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_query_that_ships_is_answered_by_a_real_prometheus(
    cluster: RunningCluster, prometheus: Prometheus, file: Path
) -> None:
    _refuse_a_frame(cluster)
    expect_every_query_to_find_series(prometheus, file)


def _refuse_a_frame(cluster: RunningCluster) -> None:
    """Have a frame refused, so that there is something to count."""
    url = f"http://127.0.0.1:{cluster.port}/v1/points/input/frame"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, data=b"no picture"), timeout=10)
    refused.value.close()


def test_top_shows_points_replicas_and_the_agent_with_its_cut(cluster: RunningCluster, camera: int) -> None:
    def shown() -> str:
        done = subprocess.run(isthmus("top", cluster.url, "--once"), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout if re.search(r"^camera-7 +input/q75 ", done.stdout, re.MULTILINE) else ""

    text = until(shown, "the agent was shown with its cut")
    for point in cluster.bundle.points:
        assert (point in text) == (point != "output")
    done = subprocess.run(isthmus("top", cluster.url, "--json"), capture_output=True, text=True, check=False)
    status = json.loads(done.stdout)
    (row,) = [row for row in status["agents"] if row["device"] == "camera-7"]
    assert (row["point"], row["rate"]) == ("input", "q75")
    assert row["frames_s"] > 1
    assert {replica["point"] for replica in status["replicas"]} == {point["point"] for point in status["points"]}


def test_top_says_in_a_sentence_that_nobody_answers() -> None:
    (port,) = free_ports(1)
    done = subprocess.run(isthmus("top", f"ws://127.0.0.1:{port}"), capture_output=True, text=True, check=False)
    assert done.returncode == 22
    assert "mend:" in done.stderr


def test_a_port_that_is_taken_ends_the_agent_with_a_word(cluster: RunningCluster, cache: Path) -> None:
    command = agent(
        "--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache),
        "--metrics-port", str(cluster.port),
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 23
    assert "--metrics-port" in done.stderr


def test_a_device_on_the_road_pushes_its_metrics_to_a_gateway(
    cluster: RunningCluster, cache: Path, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    gateway = debian_binary("prometheus-pushgateway", "prometheus-pushgateway")
    with Child([str(gateway), f"--web.listen-address=127.0.0.1:{port}"], log=tmp_path / "gateway.log"):
        until(lambda: read(f"http://127.0.0.1:{port}/-/ready"), "the gateway was ready")
        command = agent(
            "--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--json",
            "--frames", "5", "--fps", "0", "--policy", "device-only", "--device-id", "truck-3",
            "--metrics-push", f"http://127.0.0.1:{port}",
        )  # fmt: skip
        subprocess.run(command, capture_output=True, check=True, timeout=60)
        text = read(f"http://127.0.0.1:{port}/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith("isthmus_agent_frames_total")]
    assert 'instance="truck-3"' in line
    assert 'where="device"' in line
    assert line.endswith(" 5")


def test_a_frame_is_one_trace_from_the_device_to_the_tail_and_its_log_names_it(
    cluster: RunningCluster, cache: Path, tmp_path: Path
) -> None:
    assert cluster.trace is not None
    spans = cluster.trace
    command = agent(
        "--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache), "--json",
        "--frames", "5", "--fps", "0", "--policy", "cluster-only", "--deadline-ms", "3000",
        "--device-id", "camera-9", "--trace", str(tmp_path / "agent.jsonl"),
    )  # fmt: skip
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    lines = until(lambda: _log_lines(cluster.process_id, "camera-9"), "the replica logged the frames")
    ours = _spans(tmp_path / "agent.jsonl")
    theirs = until(lambda: _below(_spans(spans), ours), "the cluster's spans were written")
    assert len(ours) == len(theirs) == 5
    for trace, spans in ours.items():
        root = next(span for span in spans if span["name"] == "frame")
        tail = next(span for span in theirs[trace] if span["name"] == "tail")
        assert tail["parent_id"] == root["context"]["span_id"]
        assert {span["name"] for span in theirs[trace]} == {"tail", "admit", "decode", "queue", "compute", "reply"}
        assert {span["name"] for span in spans} >= {"frame", "plan", "send"}
    computed = [line for line in lines if line["event"] == "frame.computed"]
    assert [line["frame"] for line in computed] == list(range(5))
    assert [line["batch"] for line in computed] == sorted({line["batch"] for line in computed})
    assert {line["point"] for line in computed} == {"input"}


def _spans(file: Path) -> dict[str, list[dict[str, Any]]]:
    spans: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines():
        span = json.loads(line)
        spans.setdefault(span["context"]["trace_id"], []).append(span)
    return spans


def _below(
    theirs: dict[str, list[dict[str, Any]]], ours: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """Give the cluster's spans of our traces, once all of them are there."""
    found = {trace: theirs[trace] for trace in ours if trace in theirs}
    whole = all(any(span["name"] == "tail" for span in spans) for spans in found.values())
    return found if len(found) == len(ours) and whole else {}


def _log_lines(process_id: int, device: str) -> list[dict[str, Any]]:
    """Read what the replicas below a process wrote to their standard error about a device, wherever Ray keeps it."""
    lines = []
    for process in psutil.Process(process_id).children(recursive=True):
        try:
            file = Path(os.readlink(f"/proc/{process.pid}/fd/2"))
        except OSError:
            continue
        if file.is_file() and "ServeReplica" in " ".join(process.cmdline()):
            lines += [json.loads(line) for line in file.read_text().splitlines() if f'"device": "{device}"' in line]
    return lines if sum(line["event"] == "frame.computed" for line in lines) >= 5 else []
