"""Whether the Gateways that HTTPRoutes attach to are there, with the listeners that they name."""

from collections.abc import Iterator

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.plain import numbered, place, text_at
from cluster.kubernetes.rendering import Rendering


def parent_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every parent of every HTTPRoute."""
    for manifest in rendering.manifests:
        if manifest.kind != "HTTPRoute":
            continue
        for path, parent in numbered(manifest.plain, "spec", "parentRefs", path=""):
            if parent.get("kind", "Gateway") != "Gateway":
                continue
            name, listener = text_at(parent, "name"), text_at(parent, "sectionName")
            namespace = text_at(parent, "namespace") or manifest.namespace
            gateway = rendering.find("Gateway", namespace, name)
            if gateway is None:
                yield manifest.fault(path, f"there is no Gateway/{name} in the namespace {namespace}")
                continue
            listeners = {text_at(each, "name") for _, each in numbered(gateway.plain, "spec", "listeners", path="")}
            if listener and listener not in listeners:
                yield manifest.fault(place(path, "sectionName"), f"Gateway/{name} has no listener {listener!r}")
