"""The overlay ``local``, run without Kubernetes: every command, variable, volume and probe is the manifest's own."""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from doctor_run import examined
from kept_dead import kept_dead
from local_overlay import SERVE_SERVICE, LocalOverlay, RayPods, wait_until
from pod import Pod
from pod_monitors import configuration_of, rules
from pod_network import PodNetwork, why_not
from prometheus_server import SHIPPED, expect_every_query_to_find_series, serving
from renamed_bundle import renamed

from cluster.cli.fault_processes import ClusterProcesses
from loadtests.clips import clip_path
from serve_apps.token_folder import TokenFolder
from wire.bundle import Bundle
from wire.ids import DeviceId

pytestmark = [
    pytest.mark.service,
    pytest.mark.timeout(900),
    pytest.mark.skipif(why_not() is not None, reason=f"no pods can be made here: {why_not()}"),
]

AGENT = "load-agents-0"
WAIT_S = 90.0


@pytest.fixture(scope="module")
def overlay(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalOverlay]:
    folder = tmp_path_factory.mktemp("local")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # what containers see has to be readable for their user, who is not ours
    (folder / "clips").mkdir()
    shutil.copy(clip_path("bikes"), folder / "clips")
    images = {"isthmus-agent": {"/usr/share/isthmus": folder / "clips"}}
    with contextlib.ExitStack() as ends:
        network = ends.enter_context(PodNetwork())
        by_hand = secrets_of(TokenFolder(folder / "tokens"))
        made = LocalOverlay(folder=folder / "pods", images=images, network=network, secrets_by_hand=by_hand, ends=ends)
        made.use(bundle)
        yield made


def secrets_of(tokens: TokenFolder) -> dict[str, dict[str, bytes]]:
    """Make the Secrets that an operator makes."""
    device, _ = tokens.issue(DeviceId(AGENT), "device", days=1, now_s=time.time())
    operator, _ = tokens.issue(DeviceId("operator"), "operator", days=1, now_s=time.time())
    return {
        "isthmus-tokens": {path.name: path.read_bytes() for path in tokens.folder.iterdir()},
        "isthmus-load-agents-tokens": {AGENT: device.encode()},
        "isthmus-operator-token": {"token": operator.encode()},
    }


@pytest.fixture(scope="module")
def ray(overlay: LocalOverlay) -> RayPods:
    return overlay.start_cluster("first")


@pytest.fixture(scope="module")
def agent(overlay: LocalOverlay, ray: RayPods) -> Pod:
    pod = overlay.start_agent(AGENT, ray.worker)
    wait_until(lambda: by_cluster(pod) >= 10, "the cluster answers the agent's frames", timeout_s=WAIT_S)
    return pod


def said_by(agent: Pod) -> list[dict[str, Any]]:
    """Give the events that an agent has told; a line that is not whole yet is left out, and what libraries say."""
    lines = agent.log("agent").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith('{"event"') and line.endswith("}\n")]


def frames_of(agent: Pod) -> list[dict[str, Any]]:
    return [event for event in said_by(agent) if event["event"] == "frame"]


def by_cluster(agent: Pod) -> int:
    return sum(frame["where"] == "cluster" for frame in frames_of(agent))


def wait_for_frames_by_the_cluster(agent: Pod, count: int = 10) -> None:
    before = by_cluster(agent)
    wait_until(lambda: by_cluster(agent) >= before + count, "the cluster answers frames", timeout_s=WAIT_S)


def test_probes_pass_and_a_container_is_not_root_and_cannot_write_but_to_its_volumes(ray: RayPods) -> None:
    for pod, name in ((ray.head, "ray-head"), (ray.worker, "ray-worker")):
        assert pod.passes("readinessProbe")
        assert pod.passes("livenessProbe")
        assert {process.uids().effective for process in pod.processes(name)} == {10001}
        tried = (
            "touch /tmp/x && touch /x /usr/x /etc/x /bundles/x 2> /dev/null || ls /x /usr/x /etc/x /bundles/x | wc -l"
        )
        assert pod.run(name, "sh", "-c", tried).strip() == "0"


def test_every_point_runs_on_the_worker_behind_a_triton_that_loads_only_what_it_is_told(ray: RayPods) -> None:
    def tritons(pod: Pod, name: str) -> list[list[str]]:
        words = [process.cmdline() for process in pod.processes(name)]
        return [command for command in words if command and Path(command[0]).name == "tritonserver"]

    assert tritons(ray.head, "ray-head") == []
    (triton,) = tritons(ray.worker, "ray-worker")
    assert "--model-control-mode=explicit" in triton


def test_an_agent_streams_through_the_cluster_with_its_token(agent: Pod) -> None:
    assert agent.passes("livenessProbe")
    assert {process.uids().effective for process in agent.processes("agent")} == {10001}
    assert {frame["where"] for frame in frames_of(agent)[-10:]} == {"cluster"}


def test_the_doctor_finds_the_deployment_well_and_names_each_fault(
    overlay: LocalOverlay, ray: RayPods, agent: Pod, cache: Path, tmp_path: Path
) -> None:
    url, token = f"ws://{ray.worker.address}:8000", tmp_path / "token"
    words = ("--device-id", AGENT, "--token-file", str(token))
    token.write_text(overlay.secret("isthmus-load-agents-tokens", AGENT))
    well = examined(url, cache, *words)
    assert well.code == 0, well.text
    digest = examined(url, cache, *words, "--digest", "0" * 64).one("digest")
    assert (digest["verdict"], "serves the bundle" in digest["sentence"]) == ("fail", True)
    with kept_dead(ClusterProcesses(ray.worker.processes("ray-worker")[0].pid), "triton"):
        frames = examined(url, cache, *words).all("frame")
    assert {frame["verdict"] for frame in frames} == {"fail"}
    assert all("its tail does not run (tail_failed): " in frame["sentence"] for frame in frames)
    token.write_text(overlay.secret("isthmus-load-agents-tokens", AGENT)[:-4] + "AAAA")
    refused = examined(url, cache, *words)
    assert (refused.code, refused.one("token")["verdict"]) == (1, "fail")
    wait_for_frames_by_the_cluster(agent)


def test_every_query_that_ships_finds_its_series_in_what_the_pod_monitors_scrape(
    overlay: LocalOverlay, ray: RayPods, agent: Pod, tmp_path: Path
) -> None:
    configuration = configuration_of([ray.head, ray.worker, agent], overlay.secret)
    with serving(tmp_path, configuration, rules(), targets=4) as prometheus:
        for file in SHIPPED:
            expect_every_query_to_find_series(prometheus, file)


def test_a_worker_that_goes_drains_within_its_grace_and_no_frame_is_lost(
    overlay: LocalOverlay, ray: RayPods, agent: Pod
) -> None:
    other = overlay.start_worker("another-worker", ray.head)
    # No replica is there yet, so it is alive and not ready.
    other.wait_for("livenessProbe", timeout_s=WAIT_S)
    with ThreadPoolExecutor(1) as thread:
        stopping = thread.submit(ray.worker.stop)
        other.wait_for("readinessProbe", timeout_s=WAIT_S)
        agent.know({SERVE_SERVICE: other.address})
        assert stopping.result() < 0.9 * ray.worker.grace_s
    overlay.wait_until_ready(other)
    wait_for_frames_by_the_cluster(agent)


def test_a_cluster_with_a_new_bundle_takes_over_from_the_old_one_and_no_frame_is_lost(
    overlay: LocalOverlay, agent: Pod, bundle: Bundle, tmp_path: Path
) -> None:
    """As KubeRay does it: a Ray cluster of the new manifest comes up, the Service turns to it, and the old one goes."""
    new = renamed(bundle, tmp_path / "new", "another release")
    overlay.use(new)
    after = overlay.start_cluster("second")
    agent.know({SERVE_SERVICE: after.worker.address})
    overlay.stop_all_but(after, agent)
    wait_until(lambda: any(event["event"] == "bundle.swapped" for event in said_by(agent)), "a swap", timeout_s=WAIT_S)
    wait_for_frames_by_the_cluster(agent)
    assert {event["bundle"] for event in said_by(agent) if event["event"] == "bundle.swapped"} == {new.digest}
    assert agent.stop() < agent.grace_s
    summary = said_by(agent)[-1]
    # Of both changes: a frame is answered by whomever, unless a newer one has overtaken it.
    assert summary["unanswered"] == 0
    assert (
        summary["frames"] == summary["answered"] == frames_of(agent)[-1]["frame"] + 1 - sum(summary["skipped"].values())
    )
