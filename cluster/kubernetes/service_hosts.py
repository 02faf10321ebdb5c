"""Whether the Services that addresses name are there: in what containers are told, and in a RayService's Serve file.

A host is a Service's where it is a bare name, or where its second label is ``svc`` of a namespace. Any other host with
a dot lies outside, and nothing is known of it.
"""

import re
from collections.abc import Iterator
from typing import Final

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.kuberay import CLUSTER_KEYS
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import list_at, numbered, place, text_at
from cluster.kubernetes.rendering import Rendering

ADDRESS: Final = re.compile(r"\b(?:wss?|https?|rediss?|grpc|tcp)://(?:[^/@\s]*@)?([A-Za-z0-9.-]+)(?::(\d+))?")
HERE: Final = frozenset({"localhost"})


def host_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every address in every text that a program is told."""
    for manifest, path, text in _texts(rendering):
        for host, port in ADDRESS.findall(text):
            name, namespace = _service_name(rendering, manifest, host)
            if not name:
                continue
            service = rendering.service(namespace, name)
            if service is None:
                yield manifest.fault(path, f"there is no Service/{name} in the namespace {namespace}")
            elif port and not service.has_port(int(port)):
                yield manifest.fault(path, f"Service/{name} has no port {port}")


def _texts(rendering: Rendering) -> Iterator[tuple[Manifest, str, str]]:
    for pod in rendering.pods:
        for path, container in pod.containers():
            for where, variable in numbered(container, "env", path=path):
                yield pod.owner, place(where, "value"), text_at(variable, "value")
            for key in ("command", "args"):
                for index, word in enumerate(list_at(container, key)):
                    yield pod.owner, place(path, key, index), str(word)
    for manifest in rendering.manifests:
        yield manifest, "spec.serveConfigV2", text_at(manifest.plain, "spec", "serveConfigV2")
        store = (*CLUSTER_KEYS.get(manifest.kind, ()), "gcsFaultToleranceOptions", "redisAddress")
        address = text_at(manifest.plain, *store)
        if address:
            yield manifest, place("", *store), address if "://" in address else f"redis://{address}"


def _service_name(rendering: Rendering, manifest: Manifest, host: str) -> tuple[str, str]:
    """Give the Service that a host names, and its namespace; an empty name for a host that is none."""
    name, *rest = host.rstrip(".").split(".")
    if name in HERE or (rest and all(label.isdigit() for label in (name, *rest))):
        return "", ""
    if not rest:
        return name, manifest.namespace
    if rest[1:2] == ["svc"] or (len(rest) == 1 and rest[0] in rendering.namespaces):
        return name, rest[0]
    return "", ""
