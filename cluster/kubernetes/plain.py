"""Plain YAML values as they come, well formed or not: how to reach into them, walk them and name a place in them."""

from collections.abc import Iterator
from typing import Any

Plain = dict[str, Any]
"""One object of a manifest, as YAML reads it."""


def map_at(value: object, *keys: str) -> Plain:
    """Give the map below some keys; an empty one where there is none."""
    found = value_at(value, *keys)
    return found if isinstance(found, dict) else {}


def list_at(value: object, *keys: str) -> list[Any]:
    """Give the list below some keys; an empty one where there is none."""
    found = value_at(value, *keys)
    return found if isinstance(found, list) else []


def text_at(value: object, *keys: str) -> str:
    """Give the text below some keys; an empty one where there is none."""
    found = value_at(value, *keys)
    return found if isinstance(found, str) else ""


def value_at(value: object, *keys: str) -> Any:
    """Give what stands below some keys; None where nothing does."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def numbered(value: object, *keys: str, path: str) -> Iterator[tuple[str, Plain]]:
    """Give each map of the list below some keys, with its place, where ``path`` is the place of ``value``."""
    for index, part in enumerate(list_at(value, *keys)):
        if isinstance(part, dict):
            yield place(path, *keys, index), part


def walk(value: object, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Give every key of every map below a value, as its place, the key and what stands there; parents come first."""
    if isinstance(value, dict):
        for key, below in value.items():
            here = place(path, key)
            yield here, str(key), below
            yield from walk(below, here)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from walk(below, place(path, index))


def place(path: str, *parts: object) -> str:
    """Name what lies below a place, as in ``spec.containers[0].image`` or ``labels[ray.io/group]``."""
    for part in parts:
        text = str(part)
        if isinstance(part, int) or not text.replace("_", "").replace("-", "").isalnum():
            path = f"{path}[{text}]"
        else:
            path = f"{path}.{text}" if path else text
    return path
