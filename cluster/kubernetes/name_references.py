"""Whether every object that another names is there, with the entries asked of it: Secrets, claims, accounts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import list_at, map_at, place, walk
from cluster.kubernetes.rendering import Rendering

ALWAYS_THERE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})
"""What Kubernetes makes in every namespace."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that another names."""

    kind: str
    name: str
    path: str
    keys: tuple[str, ...] = ()
    """Entries that it must have."""
    namespace: str | None = None
    """None where it must lie beside the object that names it."""


def name_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every name in every object; what is optional, or made by hand, may be missing."""
    for manifest in rendering.manifests:
        for path, key, value in walk(manifest.plain):
            for wanted in _wanted(path, key, value):
                yield from _missing(rendering, manifest, wanted)


def _wanted(path: str, key: str, value: Any) -> Iterator[Wanted]:
    """Give the objects that one field names; the fields mean the same wherever they stand."""
    match key, value:
        case _, {"optional": True}:
            return
        case "secretKeyRef" | "credentials", {"name": str(name), "key": str(entry)}:
            yield Wanted("Secret", name, path, (entry,))
        case "configMapKeyRef", {"name": str(name), "key": str(entry)}:
            yield Wanted("ConfigMap", name, path, (entry,))
        case "secretRef", {"name": str(name)}:
            yield Wanted("Secret", name, path)
        case "configMapRef", {"name": str(name)}:
            yield Wanted("ConfigMap", name, path)
        case "authOptions", {"secretName": str(name)}:
            yield Wanted("Secret", name, path)
        case "secret", {"secretName": str(name)} | {"name": str(name)}:
            yield Wanted("Secret", name, path, _entries(value))
        case "configMap", {"name": str(name)}:
            yield Wanted("ConfigMap", name, path, _entries(value))
        case "persistentVolumeClaim", {"claimName": str(name)}:
            yield Wanted("PersistentVolumeClaim", name, path)
        case "serviceAccountName", str(name):
            yield Wanted("ServiceAccount", name, path)
        case "serviceName", str(name):
            yield Wanted("Service", name, path)
        case "roleRef", {"kind": "Role", "name": str(name)}:
            yield Wanted("Role", name, path)
        case "scaleTargetRef", {"kind": str(kind), "name": str(name)}:
            yield Wanted(kind, name, path)
        case "imagePullSecrets" | "tls" | "subjects" | "certificateRefs", list():
            for index, part in enumerate(value):
                yield from _listed(place(path, index), part)


def _listed(path: str, part: Any) -> Iterator[Wanted]:
    match part:
        case {"kind": "ServiceAccount", "name": str(name)}:
            namespace = part.get("namespace")
            yield Wanted("ServiceAccount", name, path, namespace=namespace if isinstance(namespace, str) else None)
        case {"kind": kind} if kind != "Secret":
            return
        case {"secretName": str(name)} | {"name": str(name)}:
            yield Wanted("Secret", name, path)


def _entries(volume: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(item["key"]) for item in list_at(volume, "items") if isinstance(item, dict) and "key" in item)


def _missing(rendering: Rendering, manifest: Manifest, wanted: Wanted) -> Iterator[Fault]:
    namespace = wanted.namespace or manifest.namespace
    title = f"{wanted.kind}/{wanted.name}"
    if (wanted.kind, wanted.name) in ALWAYS_THERE:
        return
    if wanted.kind == "Secret" and wanted.name in rendering.made_by_hand:
        return
    if wanted.kind == "Service":
        if rendering.service(namespace, wanted.name) is None:
            yield manifest.fault(wanted.path, f"there is no {title} in the namespace {namespace}")
        return
    found = rendering.find(wanted.kind, namespace, wanted.name)
    if found is None:
        yield manifest.fault(wanted.path, f"there is no {title} in the namespace {namespace}")
        return
    held = {name for part in ("data", "stringData", "binaryData") for name in map_at(found.plain, part)}
    for key in wanted.keys:
        if key not in held:
            yield manifest.fault(wanted.path, f"{title} has no entry {key!r}")
