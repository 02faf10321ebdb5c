"""The bundle of the codecs that ship, built when it is first needed and when its weights have changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cluster.codecs.weights import SHIPPED
from wire.manifest import MANIFEST_NAME

BACKBONE: Final = "efficientnet-lite0"
FOLDER: Final = Path("bundles") / BACKBONE


def shipped_bundle(on_stage: Callable[[str], None]) -> Path:
    """Give the folder of the bundle; ``on_stage`` is told in words what takes long."""
    manifest = FOLDER / MANIFEST_NAME
    newest = max(path.stat().st_mtime for path in SHIPPED.rglob("*") if path.is_file())
    if not manifest.is_file() or manifest.stat().st_mtime < newest:
        from cluster.backbones.registry import load_backbone
        from cluster.bundles.builder import BundleBuilder

        builder = BundleBuilder(
            load_backbone(BACKBONE),
            SHIPPED,
            listener=lambda stage, option, _: on_stage(f"building the bundle: {stage} {option}"),
        )
        builder.build(FOLDER)
    return FOLDER
