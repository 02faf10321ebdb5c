"""One object of a rendering: what it is called, and its plain values."""

from dataclasses import dataclass, field
from typing import Final

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.plain import Plain, map_at, text_at

DEFAULT_NAMESPACE: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An object as it would be sent to the API server."""

    api_version: str
    kind: str
    name: str
    namespace: str
    plain: Plain = field(repr=False)

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.kind}/{self.name}"

    @property
    def annotations(self) -> Plain:
        """Its annotations."""
        return map_at(self.plain, "metadata", "annotations")

    def fault(self, path: str, sentence: str) -> Fault:
        """Say what is wrong at a place in it."""
        return Fault(subject=self.title, path=path, sentence=sentence)


def manifest_from_plain(plain: Plain) -> Manifest:
    """Name an object by its own fields; whatever is missing of them is empty, and a fault of its schema."""
    return Manifest(
        api_version=text_at(plain, "apiVersion"),
        kind=text_at(plain, "kind"),
        name=text_at(plain, "metadata", "name"),
        namespace=text_at(plain, "metadata", "namespace") or DEFAULT_NAMESPACE,
        plain=plain,
    )
