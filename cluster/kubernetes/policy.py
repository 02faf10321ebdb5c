"""The rules that every pod keeps: as little right as it can do with, memory that has a limit, and a pinned image."""

from collections.abc import Iterator

from cluster.kubernetes.fault import Fault
from cluster.kubernetes.plain import Plain, list_at, map_at, place, text_at, value_at
from cluster.kubernetes.pod_template import PodTemplate
from cluster.kubernetes.rendering import Rendering


def policy_faults(rendering: Rendering) -> Iterator[Fault]:
    """Check every container of every pod."""
    for pod in rendering.pods:
        for path, container in pod.containers():
            for key, sentence in (*_rights(pod, container), *_resources(container), *_image(container)):
                yield pod.owner.fault(place(path, *key.split(".")), sentence)


def _rights(pod: PodTemplate, container: Plain) -> Iterator[tuple[str, str]]:
    own, shared = map_at(container, "securityContext"), map_at(pod.plain, "spec", "securityContext")
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "securityContext.runAsNonRoot", "neither the container nor its pod refuses to run as root"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem", "the container may write to its own image's files"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation", "the container's processes may gain rights"
    if "ALL" not in list_at(own, "capabilities", "drop"):
        yield "securityContext.capabilities.drop", "the container does not drop ALL capabilities"
    profile = own.get("seccompProfile", shared.get("seccompProfile"))
    if value_at(profile, "type") != "RuntimeDefault":
        yield "securityContext.seccompProfile", "neither the container nor its pod has the profile RuntimeDefault"


def _resources(container: Plain) -> Iterator[tuple[str, str]]:
    for kind, name, sentence in (
        ("requests", "cpu", "the container requests no CPU"),
        ("requests", "memory", "the container requests no memory"),
        ("limits", "memory", "the container's memory has no limit"),
    ):
        if name not in map_at(container, "resources", kind):
            yield f"resources.{kind}.{name}", sentence


def _image(container: Plain) -> Iterator[tuple[str, str]]:
    image = text_at(container, "image")
    if "@sha256:" in image:
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield "image", f"{image!r} names no version, neither a tag other than latest nor a digest"
