"""Custom resources against their schemas: KubeRay's own definitions, and what is written by hand of the others'."""

from functools import cache

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from cluster.kubernetes.builtin_kinds import metadata_faults
from cluster.kubernetes.crd_schemas import crd_schema
from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.openapi_schema import StrictValidator, strict, with_defaults
from cluster.kubernetes.operator_schemas import OPERATOR_SCHEMAS
from cluster.kubernetes.schema_faults import schema_faults


def custom_faults(manifest: Manifest) -> list[Fault]:
    """Check an object of a kind that is not Kubernetes' own; a kind without a schema is a fault too."""
    validator = _validator(manifest.api_version, manifest.kind)
    if validator is None:
        sentence = f"nobody here knows {manifest.kind} of {manifest.api_version!r}, so it cannot be checked"
        return [manifest.fault("", sentence)]
    definition = crd_schema(manifest.api_version, manifest.kind)
    plain = manifest.plain if definition is None else with_defaults(definition, manifest.plain)
    return [*metadata_faults(manifest), *schema_faults(manifest, validator, plain)]


@cache
def _validator(api_version: str, kind: str) -> Validator | None:
    definition = crd_schema(api_version, kind)
    if definition is not None:
        return StrictValidator(_own(strict(definition)))
    schema = OPERATOR_SCHEMAS.get((api_version, kind))
    return None if schema is None else Draft202012Validator(schema)


def _own(schema: dict[str, object]) -> dict[str, object]:
    """Leave the metadata, of which a definition says nothing, to Kubernetes' own schema; and expect a whole object."""
    properties = schema["properties"]
    assert isinstance(properties, dict)
    properties["metadata"] = {"type": "object"}
    return {**schema, "required": ["apiVersion", "kind", "metadata", "spec"]}
