"""The pods of a RayService as KubeRay would make them of its template: the command, and what Ray is told of the node.

Follows ``ray-operator/controllers/ray/common/pod.go`` of github.com/ray-project/kuberay. Two things need Kubernetes'
API and are left out: the container of the autoscaler, and the flag by which the head waits for it.
"""

import copy
import dataclasses
import math
from typing import Final

from pod_share import cores

from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import Plain, list_at, map_at
from cluster.kubernetes.pod_template import PodTemplate

BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
CLUSTER_NAME: Final = "isthmus-local"
SECRET: Final = CLUSTER_NAME
"""The Secret that KubeRay makes for ``authOptions``, named as the cluster is."""


def as_kuberay_makes_it(template: PodTemplate, *, head_service: str) -> PodTemplate:
    """Give a template of ``ray_templates`` with the command and the environment that KubeRay adds."""
    cluster = map_at(template.owner.plain, "spec", "rayClusterConfig")
    is_head = template.labels["ray.io/node-type"] == "head"
    group = (
        map_at(cluster, "headGroupSpec") if is_head else _worker_group(cluster, str(template.labels["ray.io/group"]))
    )
    plain = copy.deepcopy(template.plain)
    ray = plain["spec"]["containers"][0]
    ray["command"] = ["/bin/bash", "-c", "--"]
    ray["args"] = [_ray_start(map_at(group, "rayStartParams"), ray, head_service="" if is_head else head_service)]
    added = {
        "RAY_CLUSTER_NAME": CLUSTER_NAME,
        "RAY_NODE_TYPE_NAME": str(template.labels["ray.io/group"]),
        "RAY_PORT": "6379",
        "RAY_ADDRESS": "127.0.0.1:6379" if is_head else f"{head_service}:6379",
        "RAY_USAGE_STATS_KUBERAY_IN_USE": "1",
        "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE": "1",
        "REDIS_PASSWORD": "",
        **({} if is_head else {"FQ_RAY_IP": head_service, "RAY_IP": head_service.split(".", 1)[0]}),
    }
    own = {entry["name"] for entry in list_at(ray, "env")}
    given = [{"name": name, "value": value} for name, value in added.items() if name not in own]
    named = {"name": "RAY_CLOUD_INSTANCE_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ray["env"] = [*list_at(ray, "env"), *given, named, *_authentication(template.owner)]
    if not is_head:
        plain["spec"].setdefault("initContainers", []).append(_waiting(ray, head_service))
    return dataclasses.replace(template, plain=plain)


def _worker_group(cluster: Plain, name: str) -> Plain:
    return next(group for group in list_at(cluster, "workerGroupSpecs") if group["groupName"] == name)


def _ray_start(given: Plain, container: Plain, *, head_service: str) -> str:
    limits = map_at(container, "resources", "limits")
    parameters = {
        "block": "true",
        "dashboard-agent-listen-port": "52365",
        "memory": str(_bytes(limits["memory"])),
        "metrics-export-port": "8080",
        "num-cpus": str(math.ceil(cores(limits["cpu"]))),
        **({"address": f"{head_service}:6379"} if head_service else {"dashboard-host": "0.0.0.0"}),
        **given,
    }
    flags = [f"--{name}" if value == "true" else f"--{name}={value}" for name, value in sorted(parameters.items())]
    return " ".join(["ulimit -n 65536; ray start", *([] if head_service else ["--head"]), *flags])


def _waiting(ray: Plain, head_service: str) -> Plain:
    """Give the container that KubeRay lets run first, so that a worker starts when its head is there."""
    kept = {key: copy.deepcopy(ray[key]) for key in ("image", "env", "envFrom", "securityContext", "volumeMounts")}
    address = f"{head_service}:6379"
    script = f"until ray health-check --address {address} > /dev/null 2>&1; do sleep 1; done"
    return {"name": "wait-gcs-ready", "command": ["/bin/bash", "-c", "--"], "args": [script], **kept}


def _authentication(owner: Manifest) -> list[Plain]:
    if map_at(owner.plain, "spec", "rayClusterConfig", "authOptions").get("mode") != "token":
        return []
    reference = {"secretKeyRef": {"name": SECRET, "key": "auth_token"}}
    return [{"name": "RAY_AUTH_MODE", "value": "token"}, {"name": "RAY_AUTH_TOKEN", "valueFrom": reference}]


def _bytes(quantity: str) -> int:
    unit = quantity[-2:]
    return int(quantity[:-2]) * BINARY[unit] if unit in BINARY else int(quantity)
