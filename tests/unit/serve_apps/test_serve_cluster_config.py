import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps import point_config
from serve_apps.cluster_config import (
    GROUPS,
    ClusterConfig,
    config_from_plain,
    config_to_plain,
    load_config,
    point_from_plain,
    without_bundles,
)
from serve_apps.point_config import PointConfig
from wire.errors import SettingError
from wire.records import to_plain

FILE = """\
bundle: bundles/lite0
also: [bundles/old]
listen: {port: 9000}
tail: {kind: onnxruntime}
every_point: {min: 0, max: 2}
points:
  blocks.3: {max: 6, gpus: 0.25}
"""


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(FILE)
    return path


def test_a_file_says_what_differs_from_the_defaults_for_all_points_and_for_one(written):
    config = load_config(written)
    assert (config.listen.host, config.listen.port, config.tail.kind, config.tail.max_batch) == (
        "127.0.0.1", 9000, "onnxruntime", 16,
    )  # fmt: skip
    assert config.point("blocks.9") == PointConfig(min=0, max=2)
    assert config.point("blocks.3") == PointConfig(min=0, max=6, gpus=0.25)


def test_paths_of_a_file_are_relative_to_its_folder(written):
    config = load_config(written)
    assert config.folders == (written.parent / "bundles" / "lite0", written.parent / "bundles" / "old")


def test_options_override_the_file_and_those_not_given_do_not(written):
    config = load_config(written).with_options(listen_port=None, listen_host="::1", tail_max_batch=4, bundle="other")
    assert (config.listen.host, config.listen.port, config.tail.max_batch, config.bundle) == ("::1", 9000, 4, "other")
    assert config.tail.kind == "onnxruntime"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"points": {"mid": {"max": -1}}}, r"config\.points\.mid\.max must be between 0 and 1000"),
        ({"points": {"mid": {"most": 3}}}, r"config\.points\.mid\.most is an unknown field"),
        ({"points": {"mid": 3}}, r"config\.points\.mid must be a map, not int"),
        ({"points": {"mid": {"min": 3, "max": 2}}}, r"config\.points\.mid\.min is 3 and max is 2"),
        ({"points": {"mid": {"max": 2, "initial": 3}}}, r"config\.points\.mid\.initial is 3"),
        ({"every_point": {"max": 0, "min": 0}}, r"config\.every_point\.max is 0"),
        ({"every_point": {"busy": 1.5}}, r"config\.every_point\.busy must be between"),
        ({"every_point": {"queue_ms": True}}, r"config\.every_point\.queue_ms must be a number"),
        ({"listen": {"port": "9000"}}, r"config\.listen\.port must be an integer"),
        ({"tail": {"kind": "tensorflow"}}, r"config\.tail\.kind must be one of auto, .*triton"),
        ({"listn": {}}, r"config has an unknown key 'listn'"),
        ({"bundle": None}, r"config\.bundle is missing"),
        ({"bundle": ["a"]}, r"config\.bundle must be a string"),
        ({"also": "old"}, r"config\.also must be a list"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_path(change, says):
    plain = {**yaml.safe_load(FILE), **change}
    with pytest.raises(SettingError, match=says) as caught:
        config_from_plain(plain)
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no settings"),
        ("- a\n", "holds no settings"),
        ("a: [\n", "is not YAML"),
        ("a: !!python/name:os.system\n", "is not YAML"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text, says):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match=says):
        load_config(path)


def test_a_file_that_is_missing_or_a_folder_is_refused_by_name(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingError, match=str(path)):
            load_config(path)


def test_a_configuration_survives_the_way_to_a_replica(written):
    config = load_config(written)
    assert config_from_plain(config_to_plain(config)) == config


def test_replicas_are_made_without_bundles_so_that_another_one_does_not_start_them_anew(written):
    config = load_config(written)
    other = config.with_options(bundle="another", also=())
    assert without_bundles(config) == without_bundles(other)
    assert config_from_plain(without_bundles(config)).points == config.points


def test_every_group_has_defaults_so_that_a_bundle_alone_is_a_configuration():
    config = config_from_plain({"bundle": "b"})
    assert config == ClusterConfig(bundle="b")
    assert config.folders == (Path("b"),)
    assert set(GROUPS) >= {"listen", "tail", "every_point"}


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 1), (7, 1), (8, 2), (64, 8)])
def test_without_bounds_a_point_has_one_replica_for_four_cores_and_no_more_on_a_small_machine(monkeypatch, cores, most):
    monkeypatch.setattr(point_config.os, "cpu_count", lambda: cores)
    config = PointConfig()
    assert (config.min, config.first, config.most, config.scales) == (1, 1, most, most > 1)


def test_bounds_that_are_given_hold_on_any_machine(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert PointConfig(min=3).most == 3
    assert PointConfig(min=0, max=5, initial=2).first == 2


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 20), st.floats(0.1, 1000), st.floats(0.05, 0.95))
def test_a_point_survives_the_way_into_serves_policy(least, most, queue_ms, busy):
    config = PointConfig(min=min(least, most), max=most, queue_ms=queue_ms, busy=busy)
    assert point_from_plain(to_plain(config)) == config
