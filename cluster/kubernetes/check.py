"""All the checks of what an overlay renders to, put together: every fault of every object, not only the first."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.kubernetes.backends import backend_faults
from cluster.kubernetes.builtin_kinds import builtin_faults, is_builtin
from cluster.kubernetes.container_references import container_faults
from cluster.kubernetes.custom_kinds import custom_faults
from cluster.kubernetes.fault import Fault
from cluster.kubernetes.manifest import manifest_from_plain
from cluster.kubernetes.name_references import name_faults
from cluster.kubernetes.plain import Plain
from cluster.kubernetes.policy import policy_faults
from cluster.kubernetes.render import render_folder
from cluster.kubernetes.rendering import Rendering, rendering_of
from cluster.kubernetes.route_parents import parent_faults
from cluster.kubernetes.selections import selection_faults
from cluster.kubernetes.serve_document import serve_faults
from cluster.kubernetes.service_hosts import host_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOverlay:
    """What came of checking one overlay."""

    overlay: str
    objects: int
    faults: tuple[Fault, ...]


def check_folder(folder: Path) -> CheckedOverlay:
    """Render a folder and check what comes out; raises SettingError as ``render_folder`` does."""
    objects = render_folder(folder)
    overlay = folder.resolve().name
    return CheckedOverlay(overlay=overlay, objects=len(objects), faults=tuple(check_objects(objects, overlay)))


def check_objects(objects: Iterable[Plain], overlay: str = "") -> list[Fault]:
    """Check the objects of one rendering, each alone and all together; the faults are ordered by object and place."""
    rendering = rendering_of(map(manifest_from_plain, objects))
    faults = [
        *_schema_faults(rendering),
        *policy_faults(rendering),
        *name_faults(rendering),
        *container_faults(rendering),
        *selection_faults(rendering),
        *backend_faults(rendering),
        *parent_faults(rendering),
        *host_faults(rendering),
    ]
    named = [replace(fault, overlay=overlay) for fault in faults]
    return sorted(named, key=lambda fault: (fault.subject, fault.path, fault.sentence))


def _schema_faults(rendering: Rendering) -> list[Fault]:
    faults = []
    for manifest in rendering.manifests:
        faults += builtin_faults(manifest) if is_builtin(manifest) else custom_faults(manifest)
        faults += serve_faults(manifest)
    return faults
