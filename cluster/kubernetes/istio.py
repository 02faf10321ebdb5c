"""What Istio makes of a Gateway of its class: the pods that pass traffic on, and the Service before them.

Follows the automated deployment of https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/.
"""

from collections.abc import Iterator
from typing import Final

from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import numbered, text_at
from cluster.kubernetes.pod_template import PodTemplate
from cluster.kubernetes.service import Service

CLASS: Final = "istio"
GATEWAY_LABEL: Final = "gateway.networking.k8s.io/gateway-name"


def gateway_templates(manifest: Manifest) -> Iterator[PodTemplate]:
    """Give the pods of a Gateway, whose containers are Istio's own affair; nothing for other objects."""
    if _is_ours(manifest):
        yield PodTemplate(
            owner=manifest, path="", labels={GATEWAY_LABEL: manifest.name}, plain={}, added_ports=_ports(manifest)
        )


def gateway_services(manifest: Manifest) -> Iterator[Service]:
    """Give the Service of a Gateway; nothing for other objects."""
    if _is_ours(manifest):
        yield Service(name=f"{manifest.name}-{CLASS}", namespace=manifest.namespace, ports=_ports(manifest))


def _is_ours(manifest: Manifest) -> bool:
    return manifest.kind == "Gateway" and text_at(manifest.plain, "spec", "gatewayClassName") == CLASS


def _ports(manifest: Manifest) -> dict[str, int]:
    listeners = [listener for _, listener in numbered(manifest.plain, "spec", "listeners", path="")]
    return {text_at(each, "name"): each["port"] for each in listeners if isinstance(each.get("port"), int)}
