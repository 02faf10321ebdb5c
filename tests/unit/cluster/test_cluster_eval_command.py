import json
import sys
from dataclasses import fields, replace

import pytest
from click.testing import CliRunner
from PIL import Image

from cluster.cli import screen
from cluster.cli.main import isthmus
from cluster.evaluation.evaluation import Evaluation, evaluate_bundle
from cluster.evaluation.option_figures import OptionFigures
from cluster.evaluation.plot import best_of, plot_accuracy
from cluster.evaluation.table import evaluation_note, evaluation_table
from wire.errors import BundleError, DataError, SettingError

MOST_PLOT_BYTES = 150_000


@pytest.fixture(scope="module")
def evaluation(bundle, labelled):
    return evaluate_bundle(bundle.directory, labelled, listener=lambda _: None)


def an_option(figures, sent, top1, codec="jalad", point="stem"):
    return replace(figures, codec=codec, point=point, bytes_mean=float(sent), top1=top1, top1_drop=0.9 - top1)


def run(*words):
    return CliRunner().invoke(isthmus, ["eval", *map(str, words)], catch_exceptions=True)


def test_the_command_shows_a_row_an_option_and_writes_figures_and_a_plot(bundle, labelled, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    screen.output.cache_clear()
    figures, plot = tmp_path / "e.json", tmp_path / "a" / "e.png"
    result = run(bundle.directory, "--data", labelled, "--json", figures, "--plot", plot)
    screen.output.cache_clear()
    assert result.exit_code == 0, result.output
    assert [line.split()[:3] for line in result.stdout.splitlines() if "bottlenet" in line] == [
        ["stem", "bottlenet", "c4-s2"]
    ]
    assert f"on 8 pictures of {labelled.name}" in result.stdout
    plain = json.loads(figures.read_text())
    assert plain.keys() == {field.name for field in fields(Evaluation)}
    assert [option["rate"] for option in plain["options"]] == ["q75", "c4-s2", "whole"]
    assert plain["options"][0].keys() == {field.name for field in fields(OptionFigures)}
    with Image.open(plot) as picture:
        assert (picture.format, picture.width) == ("PNG", 1100)


def test_the_command_looks_at_some_options_and_some_pictures(bundle, labelled, tmp_path):
    figures = tmp_path / "e.json"
    result = run(bundle.directory, "--data", labelled, "--only", "input", "--pictures", 2, "--json", figures)
    assert result.exit_code == 0, result.output
    plain = json.loads(figures.read_text())
    assert (plain["pictures"], [option["point"] for option in plain["options"]]) == (2, ["input"])


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(tmp_path / "no bundle", "--data", tmp_path, "--plot", tmp_path / "e.png")
    assert isinstance(result.exception, SettingError)
    assert "isthmus[loadtests]" in result.exception.mend


def test_a_missing_bundle_and_missing_pictures_are_errors_of_ours(bundle, tmp_path):
    assert isinstance(run(tmp_path / "nowhere", "--data", tmp_path).exception, BundleError)
    assert isinstance(run(bundle.directory, "--data", tmp_path / "nowhere").exception, DataError)


def test_the_table_has_a_row_for_every_option_and_the_note_says_what_is_unsplit(evaluation):
    table = evaluation_table(evaluation)
    assert table.row_count == 3
    assert [column.header for column in table.columns][:5] == ["point", "codec", "rate", "symbols", "bytes"]
    assert f"{evaluation.baseline_top1:.1%} top-1, 100.0% top-5" in evaluation_note(evaluation)


def test_a_curve_joins_the_options_that_are_not_beaten_with_fewer_bytes(evaluation):
    options = [
        an_option(evaluation.options[1], sent, top1)
        for sent, top1 in [(300, 0.7), (100, 0.5), (200, 0.4), (250, 0.7), (400, 0.8)]
    ]
    assert [option.bytes_mean for option in best_of(options)] == [100, 250, 400]


def test_many_curves_of_several_bundles_make_a_small_picture(evaluation, tmp_path):
    options = [
        an_option(evaluation.options[1], 100 * 2**rate + 7 * point, 0.3 + 0.1 * rate, codec, f"blocks.{point}")
        for point in range(9)
        for codec in ("isthmus", "bottlenet", "deepcod", "jalad")
        for rate in range(6)
    ]
    plot_accuracy(options, tmp_path / "many.png", title="two backbones")
    plot_accuracy(evaluation, tmp_path / "one.png")
    for name in ("many.png", "one.png"):
        assert 5_000 < (tmp_path / name).stat().st_size < MOST_PLOT_BYTES


def test_a_plot_of_nothing_that_is_sent_shows_the_unsplit_backbone_alone(evaluation, tmp_path):
    plot_accuracy(evaluation.options[-1:], tmp_path / "e.png")
    assert (tmp_path / "e.png").stat().st_size > 0


def test_a_plot_that_cannot_be_written_is_said_so(evaluation, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written") as caught:
        plot_accuracy(evaluation, tmp_path / "file" / "e.png")
    assert "--plot" in caught.value.mend
