"""The image of a bundle, made as its Dockerfile makes it, and an overlay that an operator has had name it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from pod_root import PROJECT

from cluster.kubernetes.manifest import manifest_from_plain
from cluster.kubernetes.render import render_folder
from cluster.kubernetes.rendering import Rendering, rendering_of
from wire.bundle import Bundle

MANIFESTS: Final = PROJECT / "k8s"
RECIPE: Final = MANIFESTS / "images" / "bundle"
NAME: Final = "efficientnet-lite0"


def make_image(bundle: Bundle, folder: Path) -> dict[str, Path]:
    """Give the folders of the image by their paths in it."""
    shutil.copytree(bundle.directory, folder / NAME)
    words = [sys.executable, str(RECIPE / "bundle_sums.py"), NAME, bundle.digest]
    sums = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True)
    (folder / "SHA256SUMS").write_text(sums.stdout)
    return {"/bundle": folder, "/image/bin": RECIPE}


def render_with(bundle: Bundle, folder: Path, *, overlay: str = "local") -> Rendering:
    """Render an overlay in which the bundle's tag is that of ``bundle``."""
    shutil.copytree(MANIFESTS, folder)
    written = folder / "overlays" / overlay / "kustomization.yaml"
    text, changed = re.subn(r"(isthmus-bundle, newTag: )\w+", rf"\g<1>{bundle.digest[:12]}", written.read_text())
    assert changed == 1
    written.write_text(text)
    return rendering_of(map(manifest_from_plain, render_folder(written.parent)))
