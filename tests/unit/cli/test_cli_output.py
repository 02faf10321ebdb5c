import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.bundles.synthetic import write_synthetic
from cluster.cli import screen
from cluster.cli.main import COMMANDS, isthmus
from wire.bundle import Bundle
from wire.manifest import MANIFEST_NAME, Macs, dump_manifest, load_manifest

TIMEOUT_S = 120.0


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return done.stdout


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_synthetic(tmp_path / "synthetic")


@pytest.fixture
def _wide_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "200")
    screen.output.cache_clear()
    yield
    screen.output.cache_clear()


def said(*words: str) -> str:
    result = CliRunner().invoke(isthmus, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_help_lists_every_command_and_imports_neither_torch_nor_ray() -> None:
    program = """
import sys
from cluster.cli.main import isthmus
isthmus(["--help"], standalone_mode=False)
print("heavy:", sorted({"torch", "ray", "onnx", "onnxruntime", "tritonclient", "PIL"} & set(sys.modules)))
"""
    lines = [line.strip() for line in run_python(program).splitlines()]

    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line]
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert lines[-1] == "heavy: []"


def test_every_command_says_what_it_does() -> None:
    for name in COMMANDS:
        assert f"isthmus {name} " in said(name, "--help")


def test_points_are_given_as_json_from_the_input_to_the_output() -> None:
    command = [sys.executable, "-m", "cluster.cli.main", "points", "efficientnet-lite0", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    plain = json.loads(done.stdout)

    assert plain["backbone"] == "efficientnet-lite0"
    names = [point["name"] for point in plain["points"]]
    assert (names[0], names[-1]) == ("input", "output")
    assert "blocks.4" in names
    macs = [point["head_macs"] for point in plain["points"]]
    assert macs == sorted(macs)
    assert {point["head_macs"] + point["tail_macs"] for point in plain["points"]} == {macs[-1]}


def test_inspecting_a_bundle_as_json_gives_its_digest_and_manifest(bundle: Bundle) -> None:
    plain = json.loads(said("bundle", "inspect", str(bundle.directory), "--json"))

    assert plain["digest"] == bundle.digest
    assert load_manifest(json.dumps(plain["manifest"]).encode()) == bundle.manifest


@pytest.mark.usefixtures("_wide_screen")
def test_inspecting_a_bundle_shows_every_option_in_a_row_with_its_share_of_the_work(bundle: Bundle) -> None:
    split, whole = bundle.manifest.options
    works = (replace(split, macs=Macs(20_000_000, 5_000_000, 0, 80_000_000)), replace(whole, macs=Macs(10**8, 0, 0, 0)))
    (bundle.directory / MANIFEST_NAME).write_bytes(dump_manifest(replace(bundle.manifest, options=works)))
    text = said("bundle", "inspect", str(bundle.directory))

    (row,) = [line for line in text.splitlines() if f" {split.point} " in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "0", "synthetic", "none", "raw", "3×13×13", "515", "515", "25.0 M", "25%", "0.0%", "0.0", "0.0%",
    ]  # fmt: skip
    assert text.startswith(f"synthetic  {Bundle.open(bundle.directory, 'cluster').digest}")
