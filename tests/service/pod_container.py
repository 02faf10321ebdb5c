"""One container of a pod's template as a kubelet would run it: its command, environment, mounts and user."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from image_recipe import read_recipe
from pod_root import PATH

from cluster.kubernetes.plain import Plain, list_at, map_at, text_at
from cluster.kubernetes.rendering import Rendering

_VARIABLE: Final = re.compile(r"\$\(([A-Za-z0-9_.-]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a container's environment may ask for: the objects beside the pod, and what is decided when it is made."""

    rendering: Rendering
    secrets: Mapping[str, Mapping[str, bytes]]
    """Of the Secrets that an operator makes by hand."""
    namespace: str
    pod_name: str
    node_name: str
    labels: Mapping[str, str]
    address: str

    def secret(self, name: str) -> Mapping[str, bytes]:
        """Give a Secret's data."""
        return self.secrets[name]

    def config_map(self, name: str) -> Mapping[str, str]:
        """Give a ConfigMap's data."""
        found = self.rendering.find("ConfigMap", self.namespace, name)
        assert found is not None, f"there is no ConfigMap {name}"
        return map_at(found.plain, "data")

    def field(self, path: str) -> str:
        """Give what a fieldRef names."""
        label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
        if label:
            return self.labels[label[1]]
        return {
            "metadata.name": self.pod_name,
            "metadata.namespace": self.namespace,
            "spec.nodeName": self.node_name,
            "status.podIP": self.address,
        }[path]


def environment_of(container: Plain, around: Surroundings) -> dict[str, str]:
    """Give a container's environment, later entries over earlier ones, as they may ask for those before."""
    found = {"PATH": PATH}
    for source in list_at(container, "envFrom"):
        if "configMapRef" in source:
            found.update(around.config_map(source["configMapRef"]["name"]))
        else:
            found.update({key: value.decode() for key, value in around.secret(source["secretRef"]["name"]).items()})
    for entry in list_at(container, "env"):
        found[entry["name"]] = _value(entry, around, found)
    return found


def command_of(container: Plain, environment: Mapping[str, str]) -> list[str]:
    """Give a container's command and arguments, with $(VARIABLES) filled in."""
    image = text_at(container, "image").rsplit("/", 1)[-1].split(":")[0].removeprefix("isthmus-")
    words = list_at(container, "command") or read_recipe(image).final.last("ENTRYPOINT").words
    return [expanded(word, environment) for word in [*words, *list_at(container, "args")]]


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """Fill in $(VARIABLES) that are known."""
    return _VARIABLE.sub(lambda found: environment.get(found[1], found[0]), text)


def security_of(template: Plain, container: Plain) -> Plain:
    """Give the container's security context over its pod's."""
    return {**map_at(template, "spec", "securityContext"), **map_at(container, "securityContext")}


def _value(entry: Plain, around: Surroundings, before: Mapping[str, str]) -> str:
    source = map_at(entry, "valueFrom")
    if "fieldRef" in source:
        return around.field(source["fieldRef"]["fieldPath"])
    if "secretKeyRef" in source:
        wanted = source["secretKeyRef"]
        return around.secret(wanted["name"])[wanted["key"]].decode()
    if "configMapKeyRef" in source:
        wanted = source["configMapKeyRef"]
        return around.config_map(wanted["name"])[wanted["key"]]
    assert not source, f"no source of {source} here"
    return expanded(entry.get("value", ""), before)
