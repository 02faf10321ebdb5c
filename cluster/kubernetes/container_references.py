"""Whether the containers of a pod find in it what they name: the volumes that they mount, and the ports of probes."""

from collections.abc import Iterator
from typing import Final

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.plain import Plain, list_at, map_at, numbered, place, text_at, value_at
from cluster.kubernetes.pod_template import PodTemplate
from cluster.kubernetes.rendering import Rendering

PROBES: Final = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)


def container_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every container of every pod."""
    for pod in rendering.pods:
        volumes = _volumes(pod)
        for path, container in pod.containers():
            for key in ("volumeMounts", "volumeDevices"):
                for where, mount in numbered(container, key, path=path):
                    if text_at(mount, "name") not in volumes:
                        sentence = f"the pod has no volume {text_at(mount, 'name')!r}"
                        yield pod.owner.fault(place(where, "name"), sentence)
            yield from _probes(pod, path, container)


def _volumes(pod: PodTemplate) -> set[str]:
    volumes = {text_at(volume, "name") for volume in list_at(pod.plain, "spec", "volumes")}
    claims = list_at(pod.owner.plain, "spec", "volumeClaimTemplates")
    return volumes | {text_at(claim, "metadata", "name") for claim in claims}


def _probes(pod: PodTemplate, path: str, container: Plain) -> Iterator[Fault]:
    names = {text_at(port, "name") for port in list_at(container, "ports")} | set(pod.added_ports)
    for keys in PROBES:
        for action in ("httpGet", "tcpSocket"):
            port = value_at(map_at(container, *keys), action, "port")
            if isinstance(port, str) and port not in names:
                yield pod.owner.fault(place(path, *keys, action, "port"), f"the container has no port {port!r}")
