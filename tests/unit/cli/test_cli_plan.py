import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.plan import command
from cluster.comparison.document import block_names
from cluster.profiling.group_profile import GroupProfile
from cluster.profiling.option_profile import OptionProfile, OptionTimes
from wire.bundle import Bundle
from wire.errors import IsthmusError, SettingError
from wire.ids import OptionId, PointName
from wire.manifest import MANIFEST_NAME, Macs, dump_manifest

SIDES = ("device", "cluster")
PI = ("--device", "raspberry-pi-4b")
MACS = 385_187_552
"""Those of the backbone that the profiles are called by: by its name alone a device would not be known."""
MOST_PICTURE_BYTES = 100_000
ZERO = ((0.0,) * 3,) * 3


def run(*words: object) -> Result:
    return CliRunner().invoke(command, list(map(str, words)), catch_exceptions=True, env={"COLUMNS": "200"})


def output_of(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.exception or result.output
    return " ".join(result.output.split())


def refusal(*words: object) -> IsthmusError:
    error = run(*words).exception
    assert isinstance(error, IsthmusError), error
    assert error.mend
    return error


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The synthetic bundle, as if it had been measured, with codecs that the papers' tables look for."""
    folder = tmp_path / "bundle"
    written = write_synthetic(folder)
    split, whole = written.manifest.options
    measured = replace(split.measured, pictures=10, top1_drop=0.01)
    macs = Macs(MACS // 2, 0, 0, MACS // 2)
    split = replace(split, point=PointName("a"), measured=measured, macs=macs)
    options = (
        replace(split, codec="isthmus", rate="r1"),
        replace(split, id=OptionId(2), codec="jalad", rate="c4"),
        replace(
            whole, measured=replace(whole.measured, pictures=10), macs=Macs(MACS, 0, 0, 0)
        ),
    )  # fmt: skip
    manifest = replace(written.manifest, backbone="efficientnet-lite0", options=options)
    (folder / MANIFEST_NAME).write_bytes(dump_manifest(manifest))
    return Bundle.open(folder, "cluster")


@pytest.fixture
def times(bundle: Bundle, tmp_path: Path) -> tuple[object, ...]:
    """Profiles of both halves, as options of the command."""
    words: list[object] = []
    for side in SIDES:
        profile = OptionProfile(
            side=side, backbone="efficientnet-lite0", bundle=bundle.digest, machine="a test", engine="onnxruntime",
            threads=1, repeats=1, emulated=None, factor=1.0,
            rows=tuple(
                OptionTimes(
                    id=option.id, point=option.point, codec=option.codec, rate=option.rate, graph=None,
                    coder_s=0.01 if option.coder == "none" else 0.001, coder_spread_s=0.0, batches=(),
                )
                for option in bundle.manifest.options
                if side == "device" or option.coder != "none"
            ),
        )  # fmt: skip
        words += ["--times", profile.save(tmp_path / f"{side}.json")]
    return tuple(words)


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    return GroupProfile(
        backbone="efficientnet-lite0", machine="a test", threads=1, repeats=1,
        boundaries=("input", "a", "b", "output"), tensor_bytes=(150_528.0, 8_000.0, 4_000.0, 40.0),
        macs=(MACS // 3,) * 3, seconds=((0.002, 0.003, 0.004), (0.0, 0.002, 0.003), (0.0, 0.0, 0.002)), spread_s=ZERO,
    ).save(tmp_path / "toy-groups.json")  # fmt: skip


def test_a_cut_is_chosen_over_each_link_from_stored_times(
    bundle: Bundle, times: tuple[object, ...], tmp_path: Path
) -> None:
    text = output_of("cut", bundle.directory, *times, *PI, "--json", tmp_path / "c.json", "--plot", tmp_path / "c.png")
    assert "3g chosen a/isthmus/r1 1.0 515" in text
    assert "raspberry-pi-4b, emulated by 6.94 × the seconds measured" in text
    plain = json.loads((tmp_path / "c.json").read_text())
    assert [plan["link"] for plan in plain["plans"]] == ["3g", "4g", "wifi"]
    assert plain["plans"][0]["device_only"]["latency_s"] == pytest.approx(0.0694), "as published of the device"
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.format == "PNG"
    assert (tmp_path / "c.png").stat().st_size < MOST_PICTURE_BYTES


def test_without_stored_times_the_options_are_timed_now(bundle: Bundle) -> None:
    text = output_of("cut", bundle.directory, "--only", "isthmus", "--link", "4g", "--planner", "jalad")
    assert "device's half on" in text
    assert "jalad/c4" not in text
    assert "not counted" in text


@pytest.mark.parametrize("planner", ["neurosurgeon", "bottlenet", "jalad"])
def test_every_planner_takes_a_profile_of_groups_too(groups: Path, planner: str) -> None:
    text = output_of("cut", groups, "--planner", planner, "--link", "wifi", "--mbps", "2", "--device-factor", "3")
    assert "wifi at 2 Mbit/s device only output/whole 0.0 0 12.0" in text
    assert "emulated by 3 × the seconds measured" in text


def test_a_schedule_is_drawn_as_two_lanes_and_as_a_picture(groups: Path, tmp_path: Path) -> None:
    text = output_of("schedule", groups, *PI, "--json", tmp_path / "s.json", "--plot", tmp_path / "s.png")
    assert "device ██" in text
    assert "cluster ··" in text
    assert "PNG of 8-bit values" in text
    plain = json.loads((tmp_path / "s.json").read_text())
    assert plain["plans"][2]["device_only"]["latency_s"] == pytest.approx(0.0694)
    assert (tmp_path / "s.png").stat().st_size < MOST_PICTURE_BYTES


def test_a_limit_on_the_cluster_moves_groups_to_the_device(groups: Path) -> None:
    free = output_of("schedule", groups, *PI, "--link", "wifi")
    bounded = output_of("schedule", groups, *PI, "--link", "wifi", "--max-cluster-ms", "2.5")
    assert "wifi: cluster" in free
    assert "wifi: device → b → cluster" in bounded


def test_a_link_over_which_no_schedule_is_within_the_limits_is_said_and_the_others_planned(groups: Path) -> None:
    text = output_of("schedule", groups, *PI, "--max-energy-mj", "100")
    assert "3g: no schedule keeps energy_j at 0.1" in text
    assert "wifi chosen" in text
    assert "energy_j" in refusal("schedule", groups, *PI, "--max-energy-mj", "0.001").message


def test_energy_is_not_planned_where_nobody_says_what_the_device_draws(groups: Path, bundle: Bundle) -> None:
    for words in (
        ("cut", groups, "--objective", "energy"),
        ("schedule", groups, "--objective", "energy"),
        ("schedule", groups, "--max-energy-mj", "5"),
        ("tables", "--paper", "jointdnn", "--profile", groups),
    ):
        assert "--device-power-w" in refusal(*words).mend
    assert "wifi chosen" in output_of("schedule", groups, "--objective", "energy", "--device-power-w", "3")


def test_what_cannot_be_planned_is_refused_with_a_way_out(
    groups: Path, bundle: Bundle, times: tuple[object, ...], tmp_path: Path
) -> None:
    assert "raspberry-pi-4b" in refusal("cut", groups, "--device", "raspberry-pi-4").mend
    assert "--link" in refusal("cut", groups, "--link", "3g", "--link", "4g", "--mbps", "1").mend
    assert "--link" in refusal("cut", groups, "--mbps", "0").mend
    assert "a bundle" in refusal("cut", groups, "--only", "jalad").mend
    assert "isthmus profile groups" in refusal("schedule", groups, "--training").mend
    assert "isthmus profile groups" in refusal("schedule", tmp_path / "nowhere.json").mend
    assert "isthmus profile groups" in refusal("tables", "--paper", "jointdnn").mend
    assert "jalad" in refusal("cut", bundle.directory, *times, "--only", "bottlenet").mend
    assert "--max-drop" in refusal("cut", bundle.directory, *times, "--only", "isthmus", "--max-drop", "-1").mend


def test_times_of_another_bundle_are_refused(bundle: Bundle, times: tuple[object, ...], tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "other")
    assert "isthmus profile device" in refusal("cut", other.directory, *times).mend


def test_what_is_emulated_is_not_emulated_again(bundle: Bundle, times: tuple[object, ...], tmp_path: Path) -> None:
    file = tmp_path / "pi.json"
    OptionProfile.load(tmp_path / "device.json").emulating("raspberry-pi-4b", 6.94).save(file)
    words = ("cut", bundle.directory, "--times", file, "--times", tmp_path / "cluster.json", "--objective", "energy")
    assert "raspberry-pi-4b, emulated in its profile" in output_of(*words)
    assert "--device-factor" in refusal(*words, *PI).mend


def test_the_papers_tables_are_printed_and_written_into_a_document(
    bundle: Bundle, times: tuple[object, ...], groups: Path, tmp_path: Path
) -> None:
    document = tmp_path / "planning.md"
    document.write_text(
        "before\n<!-- measured: bottlenet-gains -->\n<!-- end -->\n<!-- measured: machines -->\n<!-- end -->\n"
    )
    text = output_of(
        "tables", "--profile", groups.parent, "--bundle", bundle.directory, *times, *PI, "--json", tmp_path / "t.json",
        "--write-docs", "--document", document,
    )  # fmt: skip
    for title in ("JointDNN, table 4", "JALAD, table II", "JALAD, table III", "BottleNet, table 4", "table 5"):
        assert title in text
    written = document.read_text()
    assert written.startswith("before\n")
    assert "| 3g | latency | 63× |" in written
    assert "(emulated" in written or "emulated by" in written
    for name in ("planning-cuts.png", "planning-schedules.png"):
        assert (tmp_path / "img" / name).stat().st_size < MOST_PICTURE_BYTES
    assert json.loads((tmp_path / "t.json").read_text()).keys() == {"machines", "jointdnn", "jalad", "bottlenet"}


def test_a_document_is_written_with_the_tables_of_all_papers(groups: Path) -> None:
    error = refusal("tables", "--paper", "jointdnn", "--profile", groups, *PI, "--write-docs")
    assert isinstance(error, SettingError)
    assert "--paper all" in error.mend


def test_every_block_of_the_document_that_ships_is_one_that_is_written() -> None:
    document = Path(__file__).parents[3] / "docs" / "planning.md"
    names = set(block_names(document.read_text(encoding="utf-8")))
    assert names
    assert names <= {
        "machines", "jointdnn-workload", "jointdnn-schedules", "jalad-speedup", "jalad-points", "bottlenet-partitions",
        "bottlenet-gains",
    }  # fmt: skip
