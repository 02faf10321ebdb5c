import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.profile import command
from cluster.profiling.option_profile import OptionProfile
from device_agent.known_devices import KnownDevice, known_devices
from wire.errors import BundleError, SettingError

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(command, list(words))


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    return str(write_synthetic(tmp_path / "synthetic").directory)


def test_the_devices_half_is_measured_shown_and_kept(run: Run, bundle: str, tmp_path: Path) -> None:
    result = run("device", bundle, "--repeats", "3", "--json", "figures.json")

    assert result.exit_code == 0, result.output
    kept = tmp_path / "runs" / "profiles" / "synthetic-device.json"
    profile = OptionProfile.load(kept)
    assert json.loads((tmp_path / "figures.json").read_text()) == json.loads(kept.read_text())
    assert [row.point for row in profile.rows] == ["synthetic", "output"]
    assert [row.coder_s > 0 for row in profile.rows] == [True, False]
    assert all(row.batches[0].seconds > 0 for row in profile.rows)
    assert "synthetic  none" in result.stdout
    assert "emulated" not in result.stdout


def test_an_emulated_device_is_named_with_its_factor_in_all_that_is_shown_and_kept(
    run: Run, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def eightfold(device: KnownDevice, backbone: str, own_whole_s: float, macs: int) -> float:
        asked.append((device.name, backbone, own_whole_s, macs))
        return 8.0

    monkeypatch.setattr("device_agent.device_prediction.emulated_slowdown", eightfold)
    result = run("device", bundle, "--repeats", "2", "--device-profile", "raspberry-pi-4b")

    assert result.exit_code == 0, result.output
    assert result.stdout.count("emulated: raspberry-pi-4b, ×8") == 2
    profile = OptionProfile.load(tmp_path / "runs" / "profiles" / "synthetic-device-raspberry-pi-4b.json")
    assert (profile.emulated, profile.factor) == ("raspberry-pi-4b", 8.0)
    assert asked == [("raspberry-pi-4b", "synthetic", pytest.approx(profile.rows[-1].seconds() / 8), 0)]


def test_a_device_that_nobody_knows_is_refused_before_anything_is_measured(run: Run, tmp_path: Path) -> None:
    result = run("device", "no bundle", "--device-profile", "raspberry-pi-9")

    assert isinstance(result.exception, SettingError)
    assert "raspberry-pi-4b" in result.exception.mend


def test_the_known_devices_are_listed_with_their_time_and_how_far_leaving_one_out_was_off(run: Run) -> None:
    result = run("device", "--list")

    assert result.exit_code == 0, result.output
    assert all(device.name in result.stdout for device in known_devices())
    assert "published" in result.stdout
    assert "predicted" in result.stdout
    assert "Leave one out" in result.stdout


def test_without_a_bundle_the_device_command_says_what_it_wants(run: Run) -> None:
    result = run("device")

    assert result.exit_code == 2
    assert "give a BUNDLE, or --list" in result.output


def test_the_clusters_half_is_measured_by_size_of_batch(run: Run, bundle: str, tmp_path: Path) -> None:
    result = run("cluster", bundle, "--repeats", "2", "--batch", "1,3", "--out", "here.json")

    assert result.exit_code == 0, result.output
    (row,) = OptionProfile.load(tmp_path / "here.json").rows
    assert [each.batch for each in row.batches] == [1, 3]
    assert "tail ×3, ms" in result.stdout


def test_what_is_no_list_of_sizes_and_what_is_no_bundle_are_errors_of_ours(run: Run, bundle: str) -> None:
    assert isinstance(run("cluster", bundle, "--batch", "1,two").exception, SettingError)
    assert isinstance(run("cluster", bundle, "--batch", "0").exception, SettingError)
    assert isinstance(run("cluster", "nowhere").exception, BundleError)
    assert isinstance(run("device", "nowhere").exception, BundleError)
