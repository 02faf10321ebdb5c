"""The Services of a rendering, as others name them: those written down, and those that KubeRay will make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import numbered, text_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a Service is called, and where it listens."""

    name: str
    namespace: str
    ports: Mapping[str, int]
    """By their names; one without a name by its number."""

    def has_port(self, port: object) -> bool:
        """Say whether it has a port of this name, or this number."""
        return port in self.ports if isinstance(port, str) else port in self.ports.values()


def own_services(manifest: Manifest) -> Iterator[Service]:
    """Give the Service that a manifest is; nothing for other objects."""
    if (manifest.api_version, manifest.kind) == ("v1", "Service"):
        ports = service_ports(manifest.plain)
        yield Service(name=manifest.name, namespace=manifest.namespace, ports=ports)


def service_ports(plain: object) -> dict[str, int]:
    """Read the ports of a Service's plain values."""
    ports = [port for _, port in numbered(plain, "spec", "ports", path="")]
    return {text_at(port, "name") or str(port["port"]): port["port"] for port in ports if "port" in port}
