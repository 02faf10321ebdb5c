import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cluster.bundles.builder import BundleBuilder
from cluster.bundles.input_coding import InputCoding
from cluster.cli import bench_codecs
from cluster.cli.main import isthmus
from cluster.codecs import compressive
from cluster.codecs.weights import CodecKey
from cluster.comparison import comparison as comparison_module
from cluster.comparison import members as members_module
from cluster.comparison.bundles import BundleShelf
from cluster.comparison.calibration import calibrate
from cluster.comparison.comparison import Comparer
from cluster.comparison.document import block_names
from cluster.comparison.members import find_members
from cluster.comparison.rows import of_codec, of_side
from cluster.comparison.zero_rate import point_behind_activation, zero_rates
from cluster.evaluation.frames import EvaluationFrames
from cluster.points import Cuts
from wire.bundle import Bundle
from wire.errors import CheckpointError, DataError
from wire.manifest import MANIFEST_NAME, Input

SETTING = "k8-s2-b60"


@pytest.fixture(scope="module")
def cuts(toy):
    return Cuts(toy.module, toy.example())


@pytest.fixture(scope="module")
def frames(labelled):
    return EvaluationFrames(labelled, Input(32, 32, 32), classes=4).sample(4)


@pytest.fixture(scope="module")
def ours(tmp_path_factory, train, toy, labelled):
    """A weights folder with a codec of ours for the toy, measured."""
    folder = tmp_path_factory.mktemp("ours")
    train(folder, codec="isthmus", setting=SETTING)
    BundleBuilder(toy, folder / "weights", listener=lambda *_: None).build(folder / "bundle", data=labelled)
    return folder / "weights"


@pytest.fixture(scope="module", autouse=True)
def _few():
    """Fewer codecs than a real comparison has, and one of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members_module, "_AT_EVERY_POINT", (("jalad", "c4"), ("jointdnn", "8bit")))
        patch.setattr(members_module, "_AT_THE_FIRST", (("offload", "float32"), ("offload-compressive", "m25")))
        patch.setattr(comparison_module, "INPUTS", tuple(map(InputCoding.parse, ("raw", "png", "jpeg-q50"))))
        patch.setattr(comparison_module, "SLOW_PICTURES", 3)
        patch.setattr(compressive, "ITERATIONS", 2)
        yield


@pytest.fixture(scope="module")
def comparer(toy, labelled, ours, trained, tmp_path_factory):
    return Comparer(
        backbone=toy, data=labelled, training=labelled / "images", weights=ours, rivals=trained.weights,
        folder=tmp_path_factory.mktemp("comparison"), listener=lambda *_: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(comparer):
    return comparer.run()


def test_a_comparison_measures_every_codec(finished):
    assert (finished.backbone, finished.pictures, finished.missing) == ("toy", 8, ())
    assert {row.figures.codec for row in of_side(finished.rows, "paper", "baseline")} == {
        "bottlenet", "jalad", "jointdnn", "offload", "offload-compressive",
    }  # fmt: skip
    assert {row.figures.codec for row in of_side(finished.rows, "ours")} == {"isthmus"}
    assert [row.figures.codec for row in of_side(finished.rows, "picture")] == ["jpeg", "png", "raw"]
    assert len(of_side(finished.rows, "unsplit")) == 1
    assert [zeros.point for zeros in finished.zeros] == ["stem"]


def test_what_is_sent_as_it_is_loses_nothing_and_has_its_bytes(finished):
    (offload,) = of_codec(finished.rows, "offload")
    assert offload.drop == 0.0
    assert 4 * 8 * 16 * 16 < offload.bytes < 4 * 8 * 16 * 16 + 32


def test_what_is_slow_is_measured_on_fewer_pictures_and_its_row_says_so(finished):
    assert {row.pictures for row in finished.rows if row.figures.codec != "offload-compressive"} == {8}
    assert {row.pictures for row in of_codec(finished.rows, "offload-compressive")} == {3}


def test_the_bundle_of_what_was_calibrated_holds_the_figures(finished, comparer):
    (place,) = (comparer.folder / "bundles").glob("calibrated-*")
    measured = {option.codec: option.measured for option in Bundle.open(place, "cluster").manifest.options}
    (jalad,) = of_codec(finished.rows, "jalad")
    assert (measured["jalad"].top1, measured["jalad"].bytes_mean) == (jalad.figures.top1, jalad.bytes)
    assert measured["jalad"].pictures == 8


def test_a_second_comparison_only_measures(finished, comparer):
    told = []
    again = replace(comparer, listener=lambda what, *_: told.append(what.split()[0])).run(pictures=2)
    assert again.pictures == 2
    assert {"calibrate", "features", "export"}.isdisjoint(told)


def test_the_command_writes_figures_page_and_plots(monkeypatch, finished, comparer, tmp_path):
    monkeypatch.setattr("cluster.backbones.registry.load_backbone", lambda _: comparer.backbone)
    page, figures = tmp_path / "docs" / "codecs.md", tmp_path / "c.json"
    page.parent.mkdir()
    page.write_text("# Codecs\n\n<!-- measured: wanted -->\n<!-- end -->\n\n<!-- measured: jalad -->\n<!-- end -->\n")
    words = [
        "bench", "codecs", "--data", comparer.data, "--training", comparer.training, "--weights", comparer.weights,
        "--rivals", comparer.rivals, "--folder", comparer.folder, "--pictures", 2, "--json", figures, "--write-docs",
        "--document", page,
    ]  # fmt: skip
    result = CliRunner().invoke(isthmus, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "what is wanted of ours" in result.stdout
    assert "2 pictures of" in result.stdout
    assert json.loads(figures.read_text())["pictures"] == 2
    assert block_names(page.read_text()) == ["wanted", "jalad"]
    assert "| stem | 4 |" in page.read_text()
    for plot in (bench_codecs.PAPERS_PLOT, bench_codecs.BASELINES_PLOT):
        assert (page.parent / "img" / plot).stat().st_size > 0


def test_a_bundle_is_built_again_when_a_file_of_its_weights_has_changed(toy, ours, tmp_path):
    shelf = BundleShelf(tmp_path / "bundles", toy, listener=lambda *_: None)
    weights = shutil.copytree(ours, tmp_path / "weights")
    first = shelf.recorded("ours", weights)
    built = (first / MANIFEST_NAME).stat().st_mtime_ns
    assert shelf.recorded("ours", weights) == first
    assert (first / MANIFEST_NAME).stat().st_mtime_ns == built
    (weights / "toy" / "more.json").write_text("{}")
    second = shelf.recorded("ours", weights)
    assert second != first
    assert [place.name for place in (tmp_path / "bundles").iterdir()] == [second.name]


def test_a_bundle_that_was_damaged_is_built_again(toy, ours, tmp_path):
    shelf = BundleShelf(tmp_path / "bundles", toy, listener=lambda *_: None)
    place = shelf.recorded("ours", ours)
    (place / "labels.txt").write_text("no labels\n")
    assert shelf.recorded("ours", ours) == place
    assert Bundle.open(place, "cluster").labels()[0] == "ant"


def test_what_is_calibrated_lies_at_the_points_of_ours_and_what_does_not_fit_is_left_out(
    cuts, ours, trained, monkeypatch
):
    found = find_members(cuts, "toy", weights=ours, rivals=trained.weights, activation="stem.0")
    assert found.points == ("stem",)
    assert found.rivals == (CodecKey("toy", "stem", "bottlenet", "c4-s2"),)
    assert [(key.point, key.codec) for key in found.calibrated] == [
        ("stem", "offload"), ("stem", "offload-compressive"), ("stem", "jalad"), ("stem", "jointdnn"),
        ("stem.0", "jointdnn"),
    ]  # fmt: skip
    monkeypatch.setattr(members_module, "_AT_THE_FIRST", (("deepcod", "c4-s8-l3"), ("offload-interpolation", "s3")))
    alone = find_members(cuts, "toy", weights=ours, rivals=ours / "nowhere", activation=None)
    assert alone.rivals == ()
    assert [key.codec for key in alone.calibrated] == ["deepcod", "jalad", "jointdnn"]


def test_rivals_that_are_not_trained_are_named(cuts, ours, trained, monkeypatch):
    wanted = (("stem", "bottlenet", "c4-s2"), ("stem", "deepcod", "c4-s2-l16"))
    monkeypatch.setattr(members_module, "_TRAINED", {"toy": wanted})
    found = find_members(cuts, "toy", weights=ours, rivals=trained.weights, activation=None)
    assert found.missing == (CodecKey("toy", *wanted[1]),)


def test_without_a_codec_of_ours_there_is_nothing_to_compare(cuts, trained):
    with pytest.raises(CheckpointError, match="no codec isthmus of toy"):
        find_members(cuts, "toy", weights=trained.weights, rivals=trained.weights, activation=None)


def test_a_codec_is_calibrated_as_its_training_would_and_once(toy, cuts, pictures, train, tmp_path):
    key = CodecKey("toy", "stem", "jalad", "c4")
    told = []
    for _ in range(2):
        calibrate(toy, cuts, [key], pictures=pictures, weights=tmp_path, listener=lambda *what: told.append(what))
    trained_file = train(tmp_path / "train", codec="jalad", setting="c4")
    assert key.path(tmp_path).read_bytes() == trained_file.read_bytes()
    assert [what for what, *_ in told].count("calibrate stem jalad c4") == 1


def test_zeros_are_common_behind_an_activation_and_rare_elsewhere(toy, cuts, frames):
    stem, unit = zero_rates(toy, cuts, ["stem", "stem.0"], frames)
    assert stem.activated
    assert not unit.activated
    assert stem.features > 0.2 > unit.features
    assert stem.symbols >= stem.features


def test_a_point_behind_an_activation_is_looked_for_where_ours_have_none(toy, cuts, frames):
    assert point_behind_activation(toy, cuts, ["stem"], frames) is None
    assert point_behind_activation(toy, cuts, ["input", "stem"], frames) is None


def test_pictures_that_are_not_there_are_refused_before_anything_is_computed(comparer, tmp_path):
    told = []
    with pytest.raises(DataError):
        replace(comparer, data=tmp_path, listener=lambda *what: told.append(what)).run()
    assert told == []
