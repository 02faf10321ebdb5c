"""Kubernetes' own kinds against their published schemas, in which unknown fields are refused.

The schemas are the data files of the package kubernetes-validate. They are read here directly, since its own function
stops at the first error and reads the definitions anew for every object.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import map_at
from cluster.kubernetes.schema_faults import schema_faults

KUBERNETES_VERSION: Final = "1.32"
"""The oldest version that the manifests are for: a field that came later is refused."""

_DEFINITIONS: Final = "https://kubernetes.io/api/_definitions.json"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def is_builtin(manifest: Manifest) -> bool:
    """Say whether Kubernetes itself has this kind in this version."""
    return _validator(manifest.api_version, manifest.kind) is not None


def builtin_faults(manifest: Manifest) -> list[Fault]:
    """Check an object of a built-in kind; gives nothing for other kinds."""
    validator = _validator(manifest.api_version, manifest.kind)
    return [] if validator is None else list(schema_faults(manifest, validator, manifest.plain))


def metadata_faults(manifest: Manifest) -> list[Fault]:
    """Check the metadata of an object of any kind."""
    validator = _checked_by({"$ref": f"{_DEFINITIONS}#/$defs/{_METADATA}"})
    return list(schema_faults(manifest, validator, map_at(manifest.plain, "metadata"), "metadata"))


@cache
def _validator(api_version: str, kind: str) -> Validator | None:
    group, slash, version = api_version.partition("/")
    name = f"{kind}-{group.split('.')[0]}-{version}" if slash else f"{kind}-{api_version}"
    schema = _read(f"{name.lower()}.json")
    if schema is None or api_version not in schema.get("properties", {}).get("apiVersion", {}).get("enum", ()):
        return None
    return _checked_by(schema)


def _checked_by(schema: dict[str, Any]) -> Validator:
    return Draft202012Validator(schema, registry=_registry())


@cache
def _registry() -> Registry[Any]:
    return Resource.from_contents(_read("_definitions.json")) @ Registry()


def _read(name: str) -> dict[str, Any] | None:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES_VERSION}.0-local-strict"
    file = folder / name
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
