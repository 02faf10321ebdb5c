"""One real cluster for all the service tests: Ray, Serve, HAProxy, Triton and the bundle that ships."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from replayed_image import ReplayedImage, replay

from cluster.backbones.registry import load_backbone
from cluster.bundles.builder import BundleBuilder
from cluster.codecs.weights import SHIPPED
from cluster.free_ports import free_ports
from loadtests.child import Child
from wire.bundle import Bundle

START_TIMEOUT_S = 240.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files whose tests share the cluster come last: those with one of their own have the machine for it."""
    sharing = {item.path for item in items if "cluster" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in sharing)


@dataclass(frozen=True, slots=True)
class RunningCluster:
    bundle: Bundle
    port: int
    process_id: int
    trace: Path | None = None
    """Where the replicas' spans are written."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


def isthmus(*words: str) -> list[str]:
    return [sys.executable, "-m", "cluster.cli.main", *words]


def agent(*words: str) -> list[str]:
    return [sys.executable, "-m", "device_agent.main", *words]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle") / "efficientnet-lite0"
    builder = BundleBuilder(load_backbone("efficientnet-lite0"), SHIPPED, listener=lambda *_: None)
    return builder.build(folder)


@pytest.fixture(scope="session")
def cluster(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("cluster")
    trace = folder / "spans.jsonl"
    # It tells all that it can, which is tested too; a frame takes 0.2 ms longer for that.
    telling = ("--log", "json", "--log-level", "debug", "--trace", str(trace))
    command = isthmus("up", str(bundle.directory), "--port", str(port), "--json", *telling)
    with Child(command, log=folder / "up.log") as child:
        child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
        started = psutil.Process(child.process.pid).children(recursive=True)
        yield RunningCluster(bundle, port, child.process.pid, trace)
        child.stop()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive, f"the cluster left processes behind: {alive}"


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the agents of all tests keep the bundle, so that it is fetched and profiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def agent_image(tmp_path_factory: pytest.TempPathFactory) -> ReplayedImage:
    """What the agent's image holds, installed once for all who look at it."""
    return replay("agent", tmp_path_factory.mktemp("agent-image"))


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
