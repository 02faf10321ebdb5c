"""What of the manifests is made from elsewhere in the project is as it would be made now."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli.main import isthmus
from serve_apps.ray_settings import NODE_ENVIRONMENT
from wire.bundle import Bundle

pytestmark = pytest.mark.service

MANIFESTS = Path(__file__).parents[2] / "k8s"
OVERLAYS = sorted(path.parent for path in MANIFESTS.glob("overlays/*/cluster.yaml"))


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.name)
def test_the_patch_of_an_overlay_is_what_serve_config_makes_of_its_cluster_file(overlay: Path, bundle: Bundle) -> None:
    words = ["serve-config", str(overlay / "cluster.yaml"), "--bundle-at", str(bundle.directory), "--patch", "isthmus"]
    made = CliRunner().invoke(isthmus, words)
    assert made.exit_code == 0, made.output
    assert (overlay / "serve-config.yaml").read_text() == made.stdout, "make it again: make k8s-serve-config"


def test_the_nodes_have_the_environment_that_ray_has_to_find() -> None:
    lines = (MANIFESTS / "base" / "node.env").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines) == NODE_ENVIRONMENT
