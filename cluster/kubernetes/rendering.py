"""All the objects of one rendering, and what can be found among them by name."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cluster.kubernetes.istio import gateway_services, gateway_templates
from cluster.kubernetes.kuberay import ray_services, ray_templates
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.pod_template import PodTemplate, own_templates
from cluster.kubernetes.service import Service, own_services

MADE_BY_HAND: Final = "isthmus.dev/made-by-hand"
"""The annotation, of any object, that names the Secrets which an operator makes; with commas between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """The objects, with the pods and the Services that come of them."""

    manifests: tuple[Manifest, ...]
    pods: tuple[PodTemplate, ...]
    services: tuple[Service, ...]
    made_by_hand: frozenset[str]
    """The names of Secrets that are not written down."""

    @property
    def namespaces(self) -> frozenset[str]:
        """The namespaces in which the objects lie."""
        return frozenset(manifest.namespace for manifest in self.manifests)

    def find(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Find an object; None where there is none."""
        wanted = (kind, namespace, name)
        return next((found for found in self.manifests if (found.kind, found.namespace, found.name) == wanted), None)

    def service(self, namespace: str, name: str) -> Service | None:
        """Find a Service, written down or KubeRay's; None where there is none."""
        return next((found for found in self.services if (found.namespace, found.name) == (namespace, name)), None)

    def pods_in(self, namespace: str) -> tuple[PodTemplate, ...]:
        """Give the pods of one namespace."""
        return tuple(pod for pod in self.pods if pod.owner.namespace == namespace)


def rendering_of(manifests: Iterable[Manifest]) -> Rendering:
    """Find the pods and Services of some objects."""
    all_of_them = tuple(manifests)
    by_hand = [str(manifest.annotations.get(MADE_BY_HAND, "")) for manifest in all_of_them]
    pods, services = [], []
    for manifest in all_of_them:
        pods += [*own_templates(manifest), *ray_templates(manifest), *gateway_templates(manifest)]
        services += [*own_services(manifest), *ray_services(manifest), *gateway_services(manifest)]
    return Rendering(
        manifests=all_of_them,
        pods=tuple(pods),
        services=tuple(services),
        made_by_hand=frozenset(name.strip() for names in by_hand for name in names.split(",") if name.strip()),
    )
