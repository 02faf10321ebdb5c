import json

import pytest
from click.testing import CliRunner

from cluster.cli import screen
from cluster.cli.train import command
from wire.errors import DataError, SettingError


@pytest.fixture(autouse=True)
def _fresh_consoles():
    screen.output.cache_clear()
    screen.notes.cache_clear()
    yield
    screen.output.cache_clear()
    screen.notes.cache_clear()


@pytest.fixture
def train(toy, labelled, tmp_path, monkeypatch):
    """Run `isthmus train` on the toy at the point stem, in a folder of its own, and give what it said."""
    monkeypatch.setattr("cluster.backbones.registry.load_backbone", lambda spec: toy)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        short = (
            "--reconstruct-epochs",
            "1",
            "--distil-epochs",
            "1",
            "--batch",
            "8",
            "--device",
            "cpu",
            "--threads",
            "1",
        )
        plain = ("--point", "stem", "--data", str(labelled), "--out", "weights", *short)
        return CliRunner().invoke(command, [*plain, *words], catch_exceptions=True)

    return run


def test_one_job_is_trained_as_a_command_of_its_own(train, tmp_path):
    result = train("--codec", "bottlenet", "--setting", "c2-s2", "--run", "state/of-it")
    assert result.exit_code == 0, result.output
    assert "wrote weights/toy/stem.bottlenet-c2-s2.safetensors" in result.output
    assert (tmp_path / "state" / "of-it" / "checkpoint.pt").is_file()


def test_one_failing_job_fails_the_command_and_the_others_are_trained(train, tmp_path):
    broken = tmp_path / "runs" / "toy" / "stem.bottlenet-c2-s2"
    broken.mkdir(parents=True)
    (broken / "checkpoint.pt").write_bytes(b"half a file")

    result = train("--codec", "bottlenet,jalad", "--setting", "c2-s2,c4-s2", "--setting", "c4", "--json", "out.json")

    assert result.exit_code == 1
    assert "1 of 3 jobs failed" in result.output
    jobs = json.loads((tmp_path / "out.json").read_text())["jobs"]
    assert [(job["codec"], job["setting"], job["state"]) for job in jobs] == [
        ("bottlenet", "c2-s2", "failed"), ("bottlenet", "c4-s2", "trained"), ("jalad", "c4", "trained"),
    ]  # fmt: skip
    assert "damaged" in jobs[0]["error"]
    assert sorted(path.name for path in (tmp_path / "weights" / "toy").iterdir()) == [
        "stem.bottlenet-c4-s2.safetensors", "stem.jalad-c4.safetensors",
    ]  # fmt: skip


def test_a_grid_is_measured_and_the_least_bytes_within_the_bound_are_chosen(train, labelled, tmp_path):
    result = train(
        "--codec",
        "jalad",
        "--setting",
        "c1,c8",
        "--evaluate",
        str(labelled),
        "--then-select",
        "100",
        "--json",
        "o.json",
    )
    assert result.exit_code == 0, result.output
    assert "stem: jalad c1, " in result.output
    record = json.loads((tmp_path / "o.json").read_text())
    (choice,) = record["chosen"]
    measured = {job["setting"]: next(iter(job["measured"].values())) for job in record["jobs"]}
    assert (choice["point"], choice["chosen"]["setting"]) == ("stem", "c1")
    assert choice["chosen"]["bytes_mean"] == measured["c1"]["bytes_mean"] < measured["c8"]["bytes_mean"]
    assert (tmp_path / "weights" / "toy" / "stem.jalad-c8.json").is_file()


def test_where_nothing_is_within_the_bound_the_nearest_is_named(train, labelled, monkeypatch):
    monkeypatch.setattr("cluster.cli.train_grid._choose", _choose_below_all)
    result = train("--codec", "jalad", "--setting", "c8", "--evaluate", str(labelled), "--then-select", "1")
    assert result.exit_code == 0, result.output
    assert "stem: nothing loses at most 1 points; nearest came jalad c8, " in result.output


def _choose_below_all(grid, figures, most_drop_points):
    from cluster.training.selection import Candidate, choose_rates

    (key,) = figures
    return choose_rates([key.point], [Candidate(key, "huffman", 10.0, 0.5)], most_drop_points / 100)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--codec", "jalad", "--setting", "c2,c9"), SettingError),
        (("--codec", "jalad", "--setting", "c2", "--then-select", "2"), SettingError),
        (("--codec", "jalad", "--setting", "c2", "--evaluate", "nowhere"), DataError),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(train, tmp_path, words, error):
    result = train(*words)
    assert isinstance(result.exception, error)
    assert list(tmp_path.iterdir()) == []
