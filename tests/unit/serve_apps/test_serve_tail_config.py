from pathlib import Path

import pytest

from cluster.bundles.synthetic import write_synthetic
from cluster.profiling.option_profile import GraphSeconds, OptionProfile, OptionTimes
from cluster.triton.tuning import Tuning
from serve_apps.cluster_config import ClusterConfig, load_config, without_bundles
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
