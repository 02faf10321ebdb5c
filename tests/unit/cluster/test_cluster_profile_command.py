import json
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

from cluster.cli.profile import command
from cluster.profiling.group_profile import GroupProfile
from wire.errors import SettingError


@pytest.fixture
def run(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.backbones.registry.load_backbone", lambda spec: toy)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(command, list(map(str, words)))


def test_groups_are_measured_shown_kept_and_drawn(run, tmp_path):
    result = run("groups", "toy", "--repeats", 2, "--plot", "groups.png")
    assert result.exit_code == 0, result.output
    assert "grouped over the sum of singles is" in result.stdout
    assert GroupProfile.load(tmp_path / "runs" / "profiles" / "toy-groups.json").groups == 3
    with Image.open(tmp_path / "groups.png") as picture:
        assert picture.format == "PNG"


def test_groups_are_given_as_json_and_drawn_later(run, tmp_path):
    result = run("groups", "toy", "--repeats", 1, "--most-groups", 2, "--backward", "--out", "kept.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "kept.json").read_text())
    assert GroupProfile.load(tmp_path / "kept.json").backward_s is not None
    drawn = run("draw", "kept.json", "--plot", "later.png")
    assert drawn.stdout.strip() == "wrote later.png"
    assert (tmp_path / "later.png").is_file()


def test_what_is_no_profile_is_not_drawn(run, tmp_path):
    (tmp_path / "kept.json").write_text("{}")
    assert isinstance(run("draw", "kept.json", "--plot", "later.png").exception, SettingError)


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert isinstance(run("groups", "toy", "--plot", "groups.png").exception, SettingError)
    assert list(tmp_path.iterdir()) == []
