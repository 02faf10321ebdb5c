import os
from dataclasses import replace

import pytest
import torch

from cluster.backbones.registry import Normalise
from cluster.points import Cuts
from cluster.training import feature_cache
from cluster.training.feature_cache import FeatureCache
from cluster.training.features import LiveFeatures, spread_rows
from cluster.training.taps import tapped
from cluster.training.views import Views
from wire.errors import CheckpointError, UnknownPoint

CPU = torch.device("cpu")


class Stopped(Exception):
    """Stands for a Ctrl-C."""


@pytest.fixture(scope="module")
def toy_cuts(toy):
    return Cuts(toy.module, toy.example())


@pytest.fixture
def cache(tmp_path, toy, toy_cuts, pictures):
    return FeatureCache(tmp_path / "features", toy, toy_cuts, views(pictures))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(feature_cache, "BATCH", 3)
    monkeypatch.setattr(feature_cache, "NOTE_EVERY", 2)


def views(pictures, views=4, seed=0):
    return Views(pictures, views, seed, height=32, width=32)


def live(toy, cuts, pictures, point):
    head, tail = cuts.split(point)
    return LiveFeatures(views(pictures), torch.nn.Sequential(Normalise(toy.frame), head), tail)


def read(source, rows=32):
    return next(source.batches(spread_rows(rows, rows), rows, CPU))


def test_features_and_logits_are_those_of_the_two_halves(cache, toy, toy_cuts, pictures):
    told = []
    (found,) = cache.features(["stem"], CPU, told.append)
    assert (sum(told), len(found)) == (32, 32)
    for ours, theirs in zip(read(found), read(live(toy, toy_cuts, pictures, "stem")), strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-2)


def test_the_backbone_runs_once_for_several_points_and_only_for_what_is_missing(cache, monkeypatch):
    runs = []
    monkeypatch.setattr(feature_cache, "tapped", lambda cuts, names: runs.append(names) or tapped(cuts, names))
    several = cache.features(["stem", "add"], CPU, lambda rows: None)
    assert runs == [["stem", "add", "output"]]
    again = cache.features(["add", "stem"], CPU, lambda rows: None)
    assert len(runs) == 1
    assert torch.equal(several[0].features, again[1].features)
    cache.features(["pool"], CPU, lambda rows: None)
    assert runs[1:] == [["pool"]]


def test_a_stopped_computation_goes_on_where_it_was(cache, tmp_path, toy, toy_cuts, pictures):
    told = []

    def stop(rows):
        told.append(rows)
        if sum(told) >= 15:
            raise Stopped

    with pytest.raises(Stopped):
        cache.features(["stem"], CPU, stop)
    told.clear()
    (found,) = cache.features(["stem"], CPU, told.append)
    assert told[0] == 12  # two batches of three, twice, were noted
    assert sum(told) == 32
    (unbroken,) = FeatureCache(tmp_path / "other", toy, toy_cuts, views(pictures)).features(["stem"], CPU, told.append)
    assert torch.equal(found.features, unbroken.features)
    assert torch.equal(found.logits, unbroken.logits)


def test_other_pictures_views_seeds_and_weights_have_a_folder_of_their_own(tmp_path, toy, toy_cuts, pictures):
    def folder(backbone, each):
        return FeatureCache(tmp_path, backbone, toy_cuts, each).folder

    other = torch.nn.Linear(2, 2)
    folders = {
        folder(toy, views(pictures)), folder(toy, views(pictures, views=5)), folder(toy, views(pictures, seed=1)),
        folder(toy, views(pictures[1:])), folder(replace(toy, module=other), views(pictures)),
    }  # fmt: skip
    assert len(folders) == 5
    assert folder(toy, views(pictures)) in folders


def test_a_full_disk_is_said_before_anything_is_computed_and_nothing_is_left(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    told = []
    with pytest.raises(CheckpointError, match="No space left") as caught:
        cache.features(["stem"], CPU, told.append)
    assert "--recompute" in caught.value.mend
    assert told == []
    assert [path.name for path in cache.folder.iterdir()] == ["identity.json"]


def test_whether_features_fit_depends_on_what_is_missing(cache, monkeypatch):
    assert cache.fits(["stem"])
    monkeypatch.setattr(feature_cache, "MARGIN_BYTES", 2**62)
    assert not cache.fits(["stem"])
    cache.features(["stem"], CPU, lambda rows: None)
    assert cache.fits(["stem"])
    assert not cache.fits(["stem", "add"])


def test_a_point_that_does_not_exist_is_refused(cache):
    with pytest.raises(UnknownPoint):
        cache.fits(["nowhere"])


def test_rows_are_chosen_evenly():
    assert spread_rows(10, 3).tolist() == [0, 4, 9]
    assert spread_rows(2, 5).tolist() == [0, 1]


def test_one_run_gives_the_tensors_at_several_points_of_a_real_backbone(lite0_cuts):
    points = ["blocks.2", "blocks.9", "output", "blocks.4"]
    frame = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        for point, found in zip(points, tapped(lite0_cuts, points)(frame), strict=True):
            assert torch.allclose(found, lite0_cuts.split(point)[0](frame), atol=1e-3), point


def test_nothing_behind_the_last_point_is_computed(lite0_cuts):
    module = tapped(lite0_cuts, ["blocks.2"])
    targets = {str(node.target) for node in module.graph.nodes}
    assert not any(target.startswith(("blocks.3", "fc")) for target in targets)
