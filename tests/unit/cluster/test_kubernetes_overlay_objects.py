"""What the overlays decide, and what can be put beside each of them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.kubernetes.check import check_folder, check_objects
from cluster.kubernetes.manifest import manifest_from_plain
from cluster.kubernetes.plain import Plain, list_at, map_at
from cluster.kubernetes.render import render_folder
from cluster.kubernetes.rendering import Rendering, rendering_of
from cluster.triton.client import KEY_NAME
from loadtests.locust_settings import LocustSettings
from serve_apps.cluster_config import ClusterConfig, load_config

MANIFESTS = Path(__file__).parents[3] / "k8s"
OVERLAYS = sorted(file.parent for file in MANIFESTS.glob("overlays/*/kustomization.yaml"))
WITH_TRITON = [MANIFESTS / "overlays" / name for name in ("gpu", "edge")]
RESTRICTED = {"model-repository", "model-config", "shared-memory", "trace", "logging"}

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
by_overlay = pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
with_triton = pytest.mark.parametrize("overlay", WITH_TRITON, ids=lambda overlay: overlay.name)


def rendered(overlay: Path) -> Rendering:
    return rendering_of(map(manifest_from_plain, render_folder(overlay)))


def worker_pod(overlay: Path) -> Plain:
    (pod,) = [pod for pod in rendered(overlay).pods if pod.labels.get("ray.io/node-type") == "worker"]
    return map_at(pod.plain, "spec")


def named(container: str, pod: Plain) -> Plain:
    everything = [*list_at(pod, "initContainers"), *list_at(pod, "containers")]
    return next(one for one in everything if one["name"] == container)


def tail_of(overlay: Path) -> ClusterConfig:
    return load_config(overlay / "cluster.yaml")


def beside(overlay: Path, folder: Path, **more: list[Path]) -> Path:
    """Write a folder that renders an overlay with other things beside it."""
    every = {"resources": [overlay], **more} if "resources" not in more else more
    plain = {key: [os.path.relpath(path, folder) for path in paths] for key, paths in every.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "isthmus", **plain}))
    return folder


@by_overlay
def test_any_overlay_can_be_watched(overlay: Path, tmp_path: Path) -> None:
    watched = "components/monitoring" in (overlay / "kustomization.yaml").read_text()
    more = {} if watched else {"components": [MANIFESTS / "components" / "monitoring"]}
    assert check_folder(beside(overlay, tmp_path, **more)).faults == ()


@by_overlay
def test_any_overlay_can_be_put_under_load(overlay: Path, tmp_path: Path) -> None:
    folder = beside(overlay, tmp_path, resources=[overlay, MANIFESTS / "loadtest"])
    assert check_folder(folder).faults == ()


@by_overlay
def test_the_agents_of_any_overlay_can_have_cameras_of_their_own(overlay: Path, tmp_path: Path) -> None:
    folder = beside(overlay, tmp_path, components=[MANIFESTS / "components" / "camera"])
    assert check_folder(folder).faults == ()
    (agents,) = [plain for plain in render_folder(folder) if plain["kind"] == "DaemonSet"]
    pod = map_at(agents, "spec", "template", "spec")
    (container,) = pod["containers"]
    assert {"name": "ISTHMUS_SOURCE", "value": "0"} in container["env"]
    assert "ISTHMUS_DEVICE" in {each["name"] for each in container["env"]}
    assert container["resources"]["limits"].items() >= {"squat.ai/video": 1, "memory": "512Mi"}.items()
    assert (pod["securityContext"]["supplementalGroups"], pod["securityContext"]["runAsUser"]) == ([44], 10001)


def test_the_load_is_of_agents_and_of_background_traffic() -> None:
    objects = render_folder(MANIFESTS / "loadtest")
    (job,) = [plain for plain in objects if plain["kind"] == "Job"]
    (told,) = [plain["data"] for plain in objects if plain["kind"] == "ConfigMap"]
    settings = LocustSettings.read(told)
    assert 0 < settings.background_users < int(told["LOCUST_USERS"])
    assert settings.links
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert "--headless" in container["args"]
    assert {f"$({name})" for name in told if name.startswith("LOCUST_")} <= {
        word.partition("=")[2] for word in container["args"]
    }


@with_triton
def test_triton_owns_the_gpu_and_ray_counts_it(overlay: Path) -> None:
    pod = worker_pod(overlay)
    ray, triton = named("ray-worker", pod), named("triton", pod)
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in str(ray["resources"])
    (service,) = [found.plain for found in rendered(overlay).manifests if found.kind == "RayService"]
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["rayStartParams"]["num-gpus"] == "1"
    point = tail_of(overlay).every_point
    points = service["spec"]["serveConfigV2"].count("import_path: serve_apps.applications:point_application")
    assert points * point.gpus <= 1
    assert points * point.cpus <= float(ray["resources"]["limits"]["cpu"])


@with_triton
def test_triton_is_started_before_ray_and_ended_after_it(overlay: Path) -> None:
    triton = named("triton", worker_pod(overlay))
    assert triton["restartPolicy"] == "Always"
    assert triton["startupProbe"]["httpGet"]["path"] == "/v2/health/live"


@with_triton
def test_the_settings_of_the_tails_are_those_of_tritons_container(overlay: Path) -> None:
    pod, tail = worker_pod(overlay), tail_of(overlay).tail
    ray, triton = named("ray-worker", pod), named("triton", pod)
    args = dict(word.removeprefix("--").partition("=")[::2] for word in triton["args"])
    assert tail.address == f"{args['grpc-address']}:{args['grpc-port']}"
    assert args["model-control-mode"] == "explicit"
    assert args["model-repository"] == tail.repository
    assert len({args["grpc-port"], args["http-port"], args["metrics-port"], "8000"}) == 4
    ours = {mount["mountPath"]: mount for mount in ray["volumeMounts"]}
    theirs = {mount["mountPath"]: mount for mount in triton["volumeMounts"]}
    assert tail.repository is not None
    assert ours[tail.repository]["name"] == theirs[tail.repository]["name"]
    # Models are links to the bundle's graphs.
    assert ours["/bundles"]["name"] == theirs["/bundles"]["name"]
    assert tail.key_file is not None
    key = ours[str(Path(tail.key_file).parent)]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == key["name"]]
    (variable,) = [variable for variable in triton["env"] if variable["name"] == "TRITON_KEY"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert (reference["name"], reference["key"]) == (secret["secretName"], Path(tail.key_file).name)


@with_triton
@pytest.mark.parametrize("option", ["grpc-restricted-protocol", "http-restricted-api"])
def test_only_who_has_the_key_may_change_what_triton_holds(overlay: Path, option: str) -> None:
    args = dict(word.removeprefix("--").partition("=")[::2] for word in named("triton", worker_pod(overlay))["args"])
    protocols, _, key = args[option].partition(":")
    assert set(protocols.split(",")) >= RESTRICTED
    assert key == f"{KEY_NAME}=$(TRITON_KEY)"


def gpu_objects() -> list[dict[str, Any]]:
    return render_folder(MANIFESTS / "overlays" / "gpu")


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("Service", "redis", "there is no Service/redis in the namespace isthmus"),
        ("Gateway", "isthmus-gateway", "there is no Service/isthmus-gateway-istio in the namespace isthmus"),
        ("Gateway", "isthmus-front", "there is no Gateway/isthmus-front in the namespace isthmus"),
        ("StatefulSet", "redis", "it selects no pod of the rendering"),
    ],
)
def test_what_the_gpu_overlay_cannot_do_without_is_missed(kind: str, name: str, says: str) -> None:
    objects = [plain for plain in gpu_objects() if (plain["kind"], plain["metadata"]["name"]) != (kind, name)]
    assert says in {fault.sentence for fault in check_objects(objects)}


def test_each_node_shows_its_own_token() -> None:
    (agents,) = [plain for plain in render_folder(MANIFESTS / "overlays" / "edge") if plain["kind"] == "DaemonSet"]
    (container,) = agents["spec"]["template"]["spec"]["containers"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "tokens"]
    assert mount["subPathExpr"] == "$(ISTHMUS_DEVICE)"
    assert f"--token-file={mount['mountPath']}" in container["args"]
    assert "--device-id=$(ISTHMUS_DEVICE)" in container["args"]
