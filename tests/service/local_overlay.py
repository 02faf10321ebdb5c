"""The ``local`` overlay, rendered and run as processes: a head and a worker of Ray, Serve's applications, an agent."""

import contextlib
import http.client
import json
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bundle_image import make_image, render_with
from kuberay_pods import SECRET, as_kuberay_makes_it
from pod import Pod
from pod_container import Surroundings
from pod_network import PodNetwork

from cluster.kubernetes.plain import text_at
from cluster.kubernetes.pod_template import PodTemplate
from wire.bundle import Bundle

NAMESPACE: Final = "isthmus"
HEAD_SERVICE: Final = "isthmus-head-svc.isthmus.svc.cluster.local"
SERVE_SERVICE: Final = "isthmus-serve-svc.isthmus.svc"
SERVE_PORT: Final = 8000
READY_S: Final = 180.0
LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class RayPods:
    """The Ray cluster that KubeRay makes of one state of the RayService."""

    head: Pod
    worker: Pod


class LocalOverlay:
    """Makes the overlay's pods as they are asked for; they end with ``ends``, if not before."""

    def __init__(
        self,
        *,
        folder: Path,
        images: Mapping[str, Mapping[str, Path]],
        network: PodNetwork,
        secrets_by_hand: Mapping[str, Mapping[str, bytes]],
        ends: contextlib.ExitStack,
    ) -> None:
        """``images`` are what our images hold beside programs, as ``Pod`` takes them; ``use`` adds the bundle's."""
        self._folder, self._images = folder, dict(images)
        self._network, self._ends = network, ends
        self._pods: list[Pod] = []
        self._secrets = {**secrets_by_hand, SECRET: {"auth_token": secrets.token_hex(32).encode()}}

    def use(self, bundle: Bundle) -> None:
        """Have an operator name a bundle; pods that are made from now on hold it."""
        folder = self._folder / f"bundle-{bundle.digest[:12]}"
        self._images["isthmus-bundle"] = make_image(bundle, folder / "image")
        self._rendering = render_with(bundle, folder / "k8s")
        self._digest = bundle.digest

    def start_cluster(self, name: str) -> RayPods:
        """Start a head and a worker, deploy what the RayService says, and wait until every point takes frames."""
        head = self._start(self._ray("head"), f"{name}-head", hosts={})
        head.wait_for("readinessProbe", timeout_s=READY_S)
        worker = self.start_worker(f"{name}-worker", head)
        config = next(found.plain for found in self._rendering.manifests if found.kind == "RayService")
        head.volume("temporary").joinpath("serve.yaml").write_text(text_at(config, "spec", "serveConfigV2"))
        head.run("ray-head", "serve", "deploy", "--address", "http://localhost:8265", "/tmp/serve.yaml")
        self.wait_until_ready(worker)
        assert self.ask(worker, "/v1/version")["bundle"] == self._digest
        return RayPods(head, worker)

    def start_worker(self, name: str, head: Pod) -> Pod:
        """Start a worker; it is ready once Serve has been deployed."""
        return self._start(self._ray("worker"), name, hosts={HEAD_SERVICE: head.address})

    def start_agent(self, name: str, serving: Pod) -> Pod:
        """Start an agent of those that make load; its frames go to the worker given until its names lead elsewhere."""
        template = next(found for found in self._rendering.pods if found.owner.name == "load-agents")
        return self._start(template, name, hosts={SERVE_SERVICE: serving.address})

    def stop_all_but(self, kept: RayPods, agent: Pod) -> None:
        """End every other pod at once, as KubeRay does with a cluster that another has taken over from."""
        going = [pod for pod in self._pods if pod not in (kept.head, kept.worker, agent)]
        with ThreadPoolExecutor(len(going)) as threads:
            list(threads.map(Pod.stop, going))
        self._pods = [kept.head, kept.worker, agent]

    def secret(self, name: str, key: str = "token") -> str:
        """Give the token in a Secret."""
        return self._secrets[name][key].decode()

    def wait_until_ready(self, worker: Pod) -> None:
        """Wait until a worker is ready, and behind it every point of the cluster."""
        worker.wait_for("readinessProbe", timeout_s=READY_S)

        def ready() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                return bool(self.ask(worker, "/v1/healthz")["ready"])
            return False

        wait_until(ready, "every point is ready", timeout_s=READY_S)

    def ask(self, worker: Pod, path: str) -> Any:
        """Ask the cluster's control application through a worker, as an operator."""
        token = self.secret("isthmus-operator-token")
        connection = http.client.HTTPConnection(worker.address, SERVE_PORT, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _ray(self, role: str) -> PodTemplate:
        template = next(found for found in self._rendering.pods if found.labels.get("ray.io/node-type") == role)
        return as_kuberay_makes_it(template, head_service=HEAD_SERVICE)

    def _start(self, template: PodTemplate, name: str, *, hosts: Mapping[str, str]) -> Pod:
        def around(address: str) -> Surroundings:
            labels = {key: value or "" for key, value in template.labels.items()}
            return Surroundings(
                rendering=self._rendering, secrets=self._secrets, namespace=NAMESPACE, pod_name=name,
                node_name="a-node", labels=labels, address=address,
            )  # fmt: skip

        pod = Pod(
            template, network=self._network, folder=self._folder / name, images=self._images, hosts=hosts, around=around
        )
        self._pods.append(self._ends.enter_context(pod))
        return pod


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float) -> float:
    """Wait until something is so; give the seconds that it took."""
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < timeout_s, f"not so after {timeout_s:.0f} s: {what}"
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - begun_s
