"""What a JSON schema has against an object, as faults: every error, and an unknown field by its own place."""

from collections.abc import Iterator

from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import Plain, map_at, place


def schema_faults(manifest: Manifest, validator: Validator, plain: Plain, path: str = "") -> Iterator[Fault]:
    """Check ``plain``, which stands at ``path`` of the object, in the order of its places."""
    for error in sorted(validator.iter_errors(plain), key=lambda error: [str(part) for part in error.absolute_path]):
        where = place(path, *error.absolute_path)
        if error.validator == "additionalProperties" and error.validator_value is False:
            known = map_at(error.schema, "properties")
            for name in sorted(str(name) for name in map_at(error.instance) if name not in known):
                yield manifest.fault(place(where, name), "the schema has no such field")
        else:
            yield manifest.fault(where, _sentence(error))


def _sentence(error: ValidationError) -> str:
    if error.validator == "required":
        return error.message.replace("is a required property", "is missing")
    if error.validator in ("type", "anyOf", "oneOf"):
        return f"{_shown(error.instance)} is of the wrong type"
    return error.message[:200]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    return repr(value)[:80]
