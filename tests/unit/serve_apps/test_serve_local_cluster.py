import dataclasses
import shutil

import pytest

from serve_apps import local_cluster
from serve_apps.cluster_config import ClusterConfig, Listen
from serve_apps.local_cluster import LocalCluster
from wire.errors import BundleError, PortInUse, SettingError


def quiet(_):
    pass


@pytest.fixture(autouse=True)
def no_socket(monkeypatch):
    monkeypatch.setattr(local_cluster, "check_port", lambda host, port: None)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_without_a_token_a_cluster_listens_on_loopback_only(bundle, host):
    with pytest.raises(SettingError, match="does not listen on") as caught:
        LocalCluster(ClusterConfig(bundle=str(bundle.directory), listen=Listen(host=host)), on_stage=quiet)
    assert "127.0.0.1" in caught.value.mend


def test_a_folder_that_is_no_bundle_stops_the_start(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        LocalCluster(ClusterConfig(bundle=str(tmp_path)), on_stage=quiet)


@pytest.mark.parametrize("name", ["device.onnx", "four.onnx", "tables.npy"])
def test_a_bundle_damaged_on_either_side_stops_the_start(bundle, tmp_path, name):
    copy = shutil.copytree(bundle.directory, tmp_path / "copy")
    (copy / name).write_bytes(b"changed")
    with pytest.raises(BundleError, match=name) as caught:
        LocalCluster(ClusterConfig(bundle=str(copy)), on_stage=quiet)
    assert caught.value.mend


def test_a_port_that_is_taken_stops_the_start(bundle, monkeypatch):
    def taken(host, port):
        raise PortInUse(f"{host}:{port} is held by another process")

    monkeypatch.setattr(local_cluster, "check_port", taken)
    with pytest.raises(PortInUse, match=r"127\.0\.0\.1:8765"):
        LocalCluster(ClusterConfig(bundle=str(bundle.directory)), on_stage=quiet)


def test_a_cluster_answers_every_option_that_has_something_to_compute(bundle):
    cluster = LocalCluster(ClusterConfig(bundle=str(bundle.directory)), on_stage=quiet)
    assert [option.id for option in cluster.options] == [3, 4, 5, 7, 8, 9, 10, 11]


def test_a_cluster_may_serve_some_points_only(bundle):
    cluster = LocalCluster(ClusterConfig(bundle=str(bundle.directory), only=("mid",)), on_stage=quiet)
    assert [option.id for option in cluster.options] == [4, 5, 7]
    assert cluster.points == ["mid"]


def test_what_was_decided_before_the_start_does_not_change(bundle):
    settings = ClusterConfig(bundle=str(bundle.directory))
    assert (settings.listen.host, settings.listen.port, settings.tail.kind) == ("127.0.0.1", 8765, "auto")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.bundle = "another"
