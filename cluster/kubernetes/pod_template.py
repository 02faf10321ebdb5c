"""The pods that an object asks for: their labels, ports and containers, and where in the object they stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import Plain, map_at, numbered, place, text_at, value_at

WORKLOADS: Final[dict[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the template of each of Kubernetes' own workloads stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplate:
    """The pods of one template."""

    owner: Manifest
    path: str
    """The place of the template in its owner."""
    labels: Mapping[str, str | None]
    """None for a value that is decided only when the pod is made."""
    plain: Plain = field(repr=False)
    added_ports: Mapping[str, int] = field(default_factory=dict)
    """Ports that the owner's operator declares beside the template's."""
    added_containers: Mapping[str, Plain] = field(default_factory=dict, repr=False)
    """Containers that the owner's operator adds, by the place in the owner where they are described."""

    @property
    def spec_path(self) -> str:
        """The place of the pod's own specification."""
        return place(self.path, "spec")

    @property
    def ports(self) -> Mapping[str, int]:
        """The container ports of the pod by their names; one without a name by its number."""
        declared = {
            text_at(port, "name") or str(port.get("containerPort")): port.get("containerPort")
            for _, container in self.containers()
            for _, port in numbered(container, "ports", path="")
        }
        return {**self.added_ports, **{name: port for name, port in declared.items() if isinstance(port, int)}}

    def has_port(self, port: object) -> bool:
        """Say whether a container port has this name, or this number."""
        return port in self.ports if isinstance(port, str) else port in self.ports.values()

    def containers(self) -> Iterator[tuple[str, Plain]]:
        """Give the containers with their places, those that run first before the others."""
        for kind in ("initContainers", "containers"):
            yield from numbered(self.plain, "spec", kind, path=self.path)
        yield from self.added_containers.items()


def own_templates(manifest: Manifest) -> Iterator[PodTemplate]:
    """Give the template of one of Kubernetes' own workloads; nothing for other objects."""
    keys = WORKLOADS.get(manifest.kind)
    if keys is not None:
        plain = value_at(manifest.plain, *keys) if keys else manifest.plain
        yield PodTemplate(
            owner=manifest, path=place("", *keys), labels=map_at(plain, "metadata", "labels"), plain=map_at(plain)
        )
