"""The Serve file inside a RayService: checked by Ray's own schema, and for keys that Ray would pass over in silence.

One of the few files that import Ray, and only when it is asked: its schema, never a cluster.
"""

import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

import yaml  # type: ignore[import-untyped]  # it ships no stubs

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import Manifest
from cluster.kubernetes.plain import place, value_at

if TYPE_CHECKING:
    from pydantic import BaseModel

PATH: Final = "spec.serveConfigV2"


def serve_faults(manifest: Manifest) -> list[Fault]:
    """Check the Serve file of a RayService; gives nothing for other kinds."""
    if manifest.kind != "RayService":
        return []
    text = value_at(manifest.plain, "spec", "serveConfigV2")
    if not isinstance(text, str):
        return [manifest.fault(PATH, "a RayService without a Serve file serves nothing")]
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [manifest.fault(PATH, f"this is not YAML: {' '.join(str(error).split())}")]
    if not isinstance(document, dict):
        return [manifest.fault(PATH, "this is no map of Serve's settings")]
    unknown = [manifest.fault(where, "Ray Serve has no such setting") for where in _unknown(_schema(), document, PATH)]
    return [*unknown, *_refused(manifest, document)]


def _refused(manifest: Manifest, document: dict[str, Any]) -> Iterator[Fault]:
    from pydantic import ValidationError

    try:
        _schema().model_validate(document)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            yield manifest.fault(place(PATH, *problem["loc"]), f"Ray Serve refuses it: {problem['msg']}")
    # Ray looks up what a file names as it reads it, such as a function that scales.
    except (ImportError, AttributeError) as error:
        yield manifest.fault(PATH, f"Ray Serve does not find what it names: {error}")


def _unknown(model: "type[BaseModel]", value: dict[str, Any], path: str) -> Iterator[str]:
    """Give the place of every key that a model, or a model below it, has no field for."""
    for key, below in value.items():
        here, known = place(path, key), model.model_fields.get(key)
        if known is None:
            yield here
        elif key == "runtime_env" and isinstance(below, dict):
            yield from (place(here, name) for name in below if name not in _environment_keys())
        else:
            for nested in _models(known.annotation):
                for where, part in _maps(below, here):
                    yield from _unknown(nested, part, where)


def _maps(value: object, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _maps(part, place(path, index))


def _models(annotation: object) -> "Iterator[type[BaseModel]]":
    from pydantic import BaseModel

    arguments = get_args(annotation)
    if not arguments and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in arguments:
        yield from _models(argument)


@cache
def _schema() -> "type[BaseModel]":
    with warnings.catch_warnings():
        # Ray declares its own models in a way that pydantic deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ray.serve.schema import ServeDeploySchema
    return ServeDeploySchema


@cache
def _environment_keys() -> frozenset[str]:
    from ray.runtime_env import RuntimeEnv

    return frozenset(name for name in RuntimeEnv.known_fields if not name.startswith("_"))
