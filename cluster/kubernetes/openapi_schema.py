"""The OpenAPI v3 schema of a custom resource, read as the API server reads it: defaults first, then no unknown field.

Owns the two steps: ``with_defaults``, and ``strict``, the JSON Schema that refuses what the API server would prune.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from cluster.kubernetes.plain import Plain

_FREE: Final = "x-kubernetes-preserve-unknown-fields"
_MAP_KEYS: Final = "x-kubernetes-list-map-keys"


def with_defaults(schema: Plain, value: Any) -> Any:
    """Copy a value and fill in the schema's defaults wherever the map that lacks them is there."""
    if isinstance(value, dict):
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
        below = properties if not isinstance(rest, dict) else {**dict.fromkeys(value, rest), **properties}
        filled = {name: deepcopy(part["default"]) for name, part in properties.items() if "default" in part} | value
        return {name: with_defaults(below.get(name, {}), part) for name, part in filled.items()}
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), part) for part in value]
    return value


def strict(schema: Plain) -> Plain:
    """Write a structural schema as a JSON Schema in which a field that it does not name is refused."""
    written = {key: part for key, part in schema.items() if not key.startswith("x-") or key == _MAP_KEYS}
    if "properties" in schema:
        written["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        written["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        written["additionalProperties"] = strict(schema["additionalProperties"])
    elif schema.get("type") == "object" and "additionalProperties" not in schema and not schema.get(_FREE):
        written["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        written["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable") and "type" in schema:
        written["type"] = [schema["type"], "null"]
    return written


def _once_each(validator: object, keys: list[str], instance: object, schema: Plain) -> Iterator[ValidationError]:
    """Refuse a list of maps of which two have the same keys, as ``x-kubernetes-list-type: map`` does."""
    if not isinstance(instance, list):
        return
    seen = set()
    for part in instance:
        name = repr([part.get(key) for key in keys]) if isinstance(part, dict) else None
        if name is not None and name in seen:
            shown = ", ".join(f"{key} {part[key]!r}" for key in keys if key in part)
            yield ValidationError(f"{shown} stands here twice")
        seen.add(name)


StrictValidator: Final[type[Draft202012Validator]] = extend(  # type: ignore[no-untyped-call]  # its stub has no types
    Draft202012Validator, {_MAP_KEYS: _once_each}
)
"""Checks what ``strict`` has written."""
