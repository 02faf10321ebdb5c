from pathlib import Path

import pytest

from cluster.bundles.synthetic import write_synthetic
from cluster.profiling.option_profile import GraphSeconds, OptionProfile, OptionTimes
from cluster.triton.external import ExternalTriton
from cluster.triton.tuning import Tuning
from serve_apps.cluster_config import ClusterConfig, config_from_plain, load_config, without_bundles
from serve_apps.local_cluster import LocalCluster
from serve_apps.tail_config import TailConfig
from wire.bundle import Bundle
from wire.errors import SettingError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


def profile_of(bundle: Bundle, digest: str) -> OptionProfile:
    """A graph of which a batch of 8 takes no longer than one frame."""
    (option,) = [option for option in bundle.manifest.options if option.cluster_graph]
    times = tuple(GraphSeconds(batch=size, seconds=0.01, spread_s=0.0) for size in (1, 8))
    row = OptionTimes(
        id=option.id, point=option.point, codec=option.codec, rate=option.rate, graph=option.cluster_graph,
        coder_s=0.001, coder_spread_s=0.0, batches=times,
    )  # fmt: skip
    return OptionProfile(
        side="cluster", backbone="b", bundle=digest, machine="m", engine="triton", threads=1, repeats=1,
        emulated=None, factor=1.0, rows=(row,),
    )  # fmt: skip


@pytest.fixture
def profile(bundle: Bundle, tmp_path: Path) -> Path:
    return profile_of(bundle, bundle.digest).save(tmp_path / "profile.json")


def test_without_a_profile_no_graph_is_tuned(bundle: Bundle) -> None:
    assert TailConfig().tunings(bundle) == {}


def test_each_graph_gets_the_batches_that_its_profile_speaks_for_within_the_bound(
    bundle: Bundle, profile: Path
) -> None:
    (graph,) = {option.cluster_graph for option in bundle.manifest.options if option.cluster_graph}
    assert TailConfig(profile=str(profile)).tunings(bundle) == {graph: Tuning(8, 1, (8,))}
    assert TailConfig(profile=str(profile), max_batch=4).tunings(bundle)[graph] == Tuning(4, 1, ())


def test_a_profile_is_named_relative_to_the_file_that_names_it(profile: Path) -> None:
    file = profile.parent / "cluster.yaml"
    file.write_text("bundle: b\ntail: {profile: profile.json}\n")
    config = load_config(file)
    assert config.tail.profile == str(profile)
    assert without_bundles(config)["tail"]["profile"] == str(profile)


def test_a_cluster_does_not_start_with_the_profile_of_another_bundle(bundle: Bundle, tmp_path: Path) -> None:
    other = profile_of(bundle, "0" * 64).save(tmp_path / "other.json")
    config = ClusterConfig(bundle=str(bundle.directory), tail=TailConfig(kind="noop", profile=str(other)))
    with pytest.raises(SettingError, match="profile is of bundle 000000000000") as caught:
        LocalCluster(config, on_stage=lambda _: None)
    assert "isthmus profile cluster" in caught.value.mend


EXTERNAL = {"kind": "triton", "address": "127.0.0.1:8001", "repository": "/models", "backend": "onnxruntime"}


def test_a_triton_that_is_there_already_is_told_from_one_of_our_own() -> None:
    assert config_from_plain({"bundle": "b"}).tail.external is None
    tail = config_from_plain({"bundle": "b", "tail": EXTERNAL | {"key_file": "/etc/key"}}).tail
    assert tail.external == ExternalTriton(
        address="127.0.0.1:8001", repository=Path("/models"), key_file=Path("/etc/key")
    )


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ({"address": None}, "config.tail.repository is of no Triton"),
        ({"address": None, "repository": None, "key_file": "k"}, "config.tail.key_file is of no Triton"),
        ({"address": None, "repository": None}, "config.tail.backend is onnxruntime"),
        ({"repository": None}, "config.tail.repository is missing"),
        ({"kind": "onnxruntime"}, "config.tail.address is of a Triton, and kind is onnxruntime"),
        ({"device": "tpu"}, "config.tail.device"),
    ],
)
def test_settings_of_a_triton_that_do_not_fit_each_other_are_refused(tail: dict[str, str | None], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        config_from_plain({"bundle": "b", "tail": EXTERNAL | tail})


def test_the_paths_of_a_triton_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("bundle: b\ntail: {kind: triton, address: 'localhost:8001', repository: models, key_file: key}\n")
    external = load_config(file).tail.external
    assert external is not None
    assert (external.repository, external.key_file) == (tmp_path / "models", tmp_path / "key")


def test_a_key_is_read_from_its_file_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    triton = ExternalTriton(address="localhost:8001", repository=tmp_path, key_file=tmp_path / "key")
    with pytest.raises(SettingError, match="key cannot be read"):
        triton.key()
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SettingError, match="is empty"):
        triton.key()
    (tmp_path / "key").write_text("secret\n")
    assert triton.key() == "secret"
