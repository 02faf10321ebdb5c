"""The schemas of KubeRay's resources: made small from its CustomResourceDefinitions, and read back.

``python -m cluster.kubernetes.crd_schemas SOURCE_FOLDER`` makes ``crds/`` anew from the folder's ``*.yaml``. Those that
ship come from https://github.com/ray-project/kuberay, ``ray-operator/config/crd/bases``, at its commit of 2026-08-19,
under the Apache License 2.0; changed in that only the schema of version v1 is kept, without its descriptions.
"""

import gzip
import json
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # it ships no stubs

from cluster.kubernetes.plain import Plain
from wire.errors import SettingError

VERSION: Final = "v1"
FILES: Final = {
    ("ray.io/v1", "RayCluster"): "ray.io_rayclusters.json.gz",
    ("ray.io/v1", "RayService"): "ray.io_rayservices.json.gz",
}


@cache
def crd_schema(api_version: str, kind: str) -> Plain | None:
    """Give the OpenAPI v3 schema of a custom resource; None for one that does not ship."""
    name = FILES.get((api_version, kind))
    if name is None:
        return None
    schema: Plain = json.loads(gzip.decompress((files("cluster.kubernetes") / "crds" / name).read_bytes()))
    return schema


def write_schemas(source: Path, out: Path) -> list[Path]:
    """Write the small schema of every CustomResourceDefinition of a folder; the same source gives the same bytes.

    Raises:
        SettingError: the folder has none, or one of them has no version v1.
    """
    written = []
    for file in sorted(source.glob("*.yaml")):
        definition = yaml.safe_load(file.read_text(encoding="utf-8"))
        schemas = [
            version["schema"]["openAPIV3Schema"]
            for version in definition["spec"]["versions"]
            if version["name"] == VERSION
        ]
        if not schemas:
            raise SettingError(f"{file} defines no version {VERSION}", mend="give the folder of KubeRay's CRDs")
        text = json.dumps(_undescribed(schemas[0]), sort_keys=True, separators=(",", ":"))
        written.append(out / f"{file.stem}.json.gz")
        written[-1].write_bytes(gzip.compress(text.encode(), mtime=0))
    if not written:
        raise SettingError(f"{source} has no *.yaml", mend="give the folder of KubeRay's CRDs")
    return written


def _undescribed(schema: Plain) -> Plain:
    """Drop what is for people; a field that is called ``description`` stays."""
    small: dict[str, Any] = {}
    for key, part in schema.items():
        if key == "properties":
            small[key] = {name: _undescribed(below) for name, below in part.items()}
        elif key in ("items", "additionalProperties") and isinstance(part, dict):
            small[key] = _undescribed(part)
        elif key != "description":
            small[key] = part
    return small


if __name__ == "__main__":
    for path in write_schemas(Path(sys.argv[1]), Path(__file__).with_name("crds")):
        sys.stdout.write(f"wrote {path}\n")
