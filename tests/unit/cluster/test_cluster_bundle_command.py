from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cluster.bundles.input_coding import InputCoding
from cluster.cli.main import isthmus
from wire.errors import SettingError


@pytest.fixture
def built(toy, monkeypatch):
    """What the builder is asked for; it builds nothing."""
    asked = []

    class Builder:
        def __init__(self, backbone, weights, *, listener):
            asked.append((backbone.name, weights))
            listener("export", "stem jalad c4", 0)

        def build(self, out, **wanted):
            asked.append((out, wanted))
            return SimpleNamespace(directory=out, manifest=SimpleNamespace(options=()), digest="d")

    monkeypatch.setattr("cluster.backbones.registry.load_backbone", lambda spec: toy)
    monkeypatch.setattr("cluster.bundles.builder.BundleBuilder", Builder)
    return asked


def run(*words):
    return CliRunner().invoke(isthmus, ["bundle", "build", *words])


def test_a_bundle_is_built_in_a_folder_of_the_backbones_name_whatever_its_weights_are_called(built):
    result = run("--backbone", "toy:/some/where/weights.pth")
    assert result.exit_code == 0, result.output
    out, wanted = built[1]
    assert out == Path("bundles") / "toy"
    assert wanted == {"data": None, "inputs": (InputCoding("jpeg", 75),), "only": ()}


def test_ways_to_send_a_frame_and_codecs_are_named_one_by_one(built):
    words = [word for text in ("webp-q50", "png", "raw", "png") for word in ("--input", text)]
    result = run(*words, "--only", "stem/jalad", "--only", "isthmus", "--out", "here", "--weights", "there")
    assert result.exit_code == 0, result.output
    assert built[0] == ("toy", Path("there"))
    out, wanted = built[1]
    assert out == Path("here")
    assert wanted["inputs"] == (InputCoding("webp", 50), InputCoding("png"), InputCoding("raw"))
    assert wanted["only"] == ("stem/jalad", "isthmus")


def test_what_is_no_way_to_send_a_frame_is_refused_before_the_backbone_is_loaded(built):
    assert isinstance(run("--input", "gif").exception, SettingError)
    assert built == []
