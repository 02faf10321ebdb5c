"""Whether the Services behind an Ingress or an HTTPRoute are there, with the ports that it names."""

from collections.abc import Iterator

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import map_at, numbered, place, text_at
from cluster.kubernetes.rendering import Rendering


def backend_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every backend of every Ingress and HTTPRoute."""
    for manifest in rendering.manifests:
        backends = {"Ingress": _of_ingress, "HTTPRoute": _of_route}.get(manifest.kind)
        for path, namespace, name, port in backends(manifest) if backends else ():
            service = rendering.service(namespace, name)
            if service is None:
                yield manifest.fault(path, f"there is no Service/{name} in the namespace {namespace}")
            elif not service.has_port(port):
                yield manifest.fault(path, f"Service/{name} has no port {port!r}")


def _of_ingress(manifest: Manifest) -> Iterator[tuple[str, str, str, object]]:
    backends = [("spec.defaultBackend", map_at(manifest.plain, "spec", "defaultBackend"))]
    for rule_path, rule in numbered(manifest.plain, "spec", "rules", path=""):
        for path, route in numbered(rule, "http", "paths", path=rule_path):
            backends.append((place(path, "backend"), map_at(route, "backend")))
    for path, backend in backends:
        service = map_at(backend, "service")
        if service:
            port = map_at(service, "port")
            number_or_name = port.get("number", port.get("name"))
            yield place(path, "service"), manifest.namespace, text_at(service, "name"), number_or_name


def _of_route(manifest: Manifest) -> Iterator[tuple[str, str, str, object]]:
    for rule_path, rule in numbered(manifest.plain, "spec", "rules", path=""):
        for path, backend in numbered(rule, "backendRefs", path=rule_path):
            if backend.get("kind", "Service") == "Service":
                namespace = text_at(backend, "namespace") or manifest.namespace
                yield path, namespace, text_at(backend, "name"), backend.get("port")
