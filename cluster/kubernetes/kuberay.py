"""What KubeRay adds to what a RayService or RayCluster says: labels and ports of the pods, and the Services.

Follows ``ray-operator/controllers/ray/common`` (``pod.go``, ``service.go``) of github.com/ray-project/kuberay.
"""

from collections.abc import Iterator
from typing import Final

from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import Plain, list_at, map_at, numbered, place, text_at
from cluster.kubernetes.pod_template import PodTemplate
from cluster.kubernetes.service import Service, service_ports

CLUSTER_KEYS: Final[dict[str, tuple[str, ...]]] = {"RayCluster": ("spec",), "RayService": ("spec", "rayClusterConfig")}
"""Where the specification of the Ray cluster stands."""
DEFAULT_PORTS: Final = {"client": 10001, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}
"""Of a head whose container declares none."""
METRICS_PORT: Final = {"metrics": 8080}
AUTOSCALER_RESOURCES: Final = {key: {"cpu": "500m", "memory": "512Mi"} for key in ("requests", "limits")}


def ray_templates(manifest: Manifest) -> Iterator[PodTemplate]:
    """Give the pods of a Ray cluster, head first; nothing for other objects."""
    keys = CLUSTER_KEYS.get(manifest.kind)
    if keys is None:
        return
    path, cluster = place("", *keys), map_at(manifest.plain, *keys)
    groups = [(place(path, "headGroupSpec"), map_at(cluster, "headGroupSpec"), "head", "headgroup")]
    for where, group in numbered(cluster, "workerGroupSpecs", path=path):
        groups.append((where, group, "worker", text_at(group, "groupName")))
    for where, group, role, name in groups:
        plain = map_at(group, "template")
        labels = {**_labels(manifest, role, name), **map_at(plain, "metadata", "labels")}
        yield PodTemplate(
            owner=manifest,
            path=place(where, "template"),
            labels=labels,
            plain=plain,
            added_ports=METRICS_PORT,
            added_containers=_autoscaler(cluster, path) if role == "head" else {},
        )


def ray_services(manifest: Manifest) -> Iterator[Service]:
    """Give the Services that KubeRay makes of an object; nothing for kinds that are not Ray's."""
    keys = CLUSTER_KEYS.get(manifest.kind)
    if keys is None:
        return
    head = map_at(manifest.plain, *keys, "headGroupSpec")
    ports = _head_ports(head)
    own_name = text_at(head, "headService", "metadata", "name") if manifest.kind == "RayCluster" else ""
    yield Service(name=own_name or f"{manifest.name}-head-svc", namespace=manifest.namespace, ports=ports)
    # Without a port that is called serve, KubeRay makes no Service for Serve.
    if manifest.kind == "RayService" and "serve" in ports:
        own = map_at(manifest.plain, "spec", "serveService")
        yield Service(
            name=text_at(own, "metadata", "name") or f"{manifest.name}-serve-svc",
            namespace=manifest.namespace,
            ports=service_ports(own) or {"serve": ports["serve"]},
        )


def _autoscaler(cluster: Plain, path: str) -> dict[str, Plain]:
    """Give the container that KubeRay puts beside the head's own, from the same image unless it is told another."""
    if cluster.get("enableInTreeAutoscaling") is not True:
        return {}
    containers = list_at(cluster, "headGroupSpec", "template", "spec", "containers")
    image = text_at(containers[0], "image") if containers else ""
    defaults = {"image": image, "resources": AUTOSCALER_RESOURCES}
    return {place(path, "autoscalerOptions"): {**defaults, **map_at(cluster, "autoscalerOptions")}}


def _labels(manifest: Manifest, role: str, group: str) -> dict[str, str | None]:
    return {
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
        # A RayService names the clusters that it makes only then, and marks the pods that serve while they do.
        "ray.io/cluster": manifest.name if manifest.kind == "RayCluster" else None,
        "ray.io/identifier": None,
        "ray.io/serve": None,
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": role,
        "ray.io/group": group,
    }


def _head_ports(head: Plain) -> dict[str, int]:
    containers = list_at(head, "template", "spec", "containers")
    declared = {
        text_at(port, "name") or f"{port.get('containerPort')}-port": port["containerPort"]
        for _, port in numbered(containers[0] if containers else {}, "ports", path="")
        if "containerPort" in port
    }
    return {**METRICS_PORT, **(declared or DEFAULT_PORTS)}
