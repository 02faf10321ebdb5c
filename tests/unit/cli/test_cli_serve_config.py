from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.main import isthmus
from wire.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


def written(folder: Path, bundle: Bundle, *options: str, **settings: Any) -> Result:
    """Have a configuration written of a bundle that the nodes see at ``/bundles/made``."""
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump({"bundle": "/bundles/made", **settings}))
    return CliRunner().invoke(isthmus, ["serve-config", str(file), "--bundle-at", str(bundle.directory), *options])


def test_a_bundle_is_read_here_and_named_as_the_nodes_see_it(tmp_path: Path, bundle: Bundle) -> None:
    result = written(tmp_path, bundle)
    document = yaml.safe_load(result.stdout)
    assert document["applications"][0]["name"] == "control"
    assert len(document["applications"]) == 1 + len({o.point for o in bundle.manifest.options if o.cluster_graph})
    told = {str(application["deployments"][0]["user_config"]) for application in document["applications"]}
    assert told == {"{'bundles': ['/bundles/made']}"}


def test_a_patch_holds_the_same_file_for_a_ray_service(tmp_path: Path, bundle: Bundle) -> None:
    patch = yaml.safe_load(written(tmp_path, bundle, "--patch", "made").stdout)
    assert (patch["kind"], patch["metadata"]["name"]) == ("RayService", "made")
    assert yaml.safe_load(patch["spec"]["serveConfigV2"]) == yaml.safe_load(written(tmp_path, bundle).stdout)


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({}, "without tokens the cluster does not listen on 0.0.0.0"),
        ({"tokens": "/etc/tokens"}, "without TLS the tokens would travel in the clear"),
        ({"tokens": "/etc/tokens", "tls_cert": "/c", "tls_key": "/k"}, "Serve's own file has no TLS"),
    ],
)
def test_what_would_let_strangers_in_is_not_written(
    tmp_path: Path, bundle: Bundle, security: dict[str, str], said: str
) -> None:
    result = written(tmp_path, bundle, listen={"host": "0.0.0.0"}, security=security)
    assert result.exit_code != 0
    assert said in str(result.exception) + result.stderr
