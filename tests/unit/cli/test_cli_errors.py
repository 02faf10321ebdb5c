import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from cluster.bundles.synthetic import write_synthetic
from cluster.cli.main import main


class Isthmus:
    """The command ``isthmus`` in this process: its exit code, and what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: str) -> tuple[object, str]:
        self._monkeypatch.setattr(sys, "argv", ["isthmus", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return ended.value.code, said.err


@pytest.fixture
def isthmus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Isthmus]:
    before = signal.getsignal(signal.SIGTERM)
    yield Isthmus(monkeypatch, capsys)
    # The command takes it, so that what it started is stopped by it too.
    assert signal.getsignal(signal.SIGTERM) is not before
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    return folder


def test_an_unknown_backbone_is_one_sentence_and_how_to_mend_it(isthmus: Isthmus) -> None:
    code, said = isthmus("points", "resnet-9000")

    assert code == 25
    assert said.startswith("isthmus: no backbone is called 'resnet-9000'\n  mend: one of: efficientnet-lite0, ")
    assert said.count("\n") == 2


def test_an_unknown_point_is_refused_with_those_there_are_before_anything_is_written(
    isthmus: Isthmus, tmp_path: Path, pictures: Path
) -> None:
    run = tmp_path / "run"
    code, said = isthmus(
        "train", "--point", "blocks.99", "--setting", "c8-s2", "--data", str(pictures), "--run", str(run),
        "--out", str(tmp_path / "weights"), "--device", "cpu",
    )  # fmt: skip

    assert code == 12
    assert said.startswith("isthmus: the backbone has no partition point 'blocks.99'\n  mend: one of: input, ")
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--codec", "abacus", "--setting", "c8-s2"), "no codec is called 'abacus'\n  mend: one of: "),
        (("--codec", "bottlenet", "--setting", "8x2"), "'8x2' is no setting of bottlenet\n  mend: write it as c8-s2"),
        (("--codec", "deepcod", "--setting", "c8-s8"), "deepcod c8-s8-l16 does not fit a tensor of shape (40, 28, 28)"),
        (("--codec", "jalad", "--setting", "c4", "--device", "abacus"), "'abacus' is no device to train on"),
    ],
)
def test_a_codec_setting_or_device_that_cannot_be_is_refused_before_anything_is_written(
    isthmus: Isthmus, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    device = () if "--device" in words else ("--device", "cpu")
    code, said = isthmus(
        "train", "--point", "blocks.4", *words, *device, "--data", str(pictures), "--out", str(tmp_path / "weights")
    )

    assert code == 2
    assert said.startswith(f"isthmus: {says}")
    assert "\n  mend: " in said
    assert list(tmp_path.iterdir()) == [pictures]


def test_training_on_a_folder_without_pictures_is_refused_with_what_counts_as_one(
    isthmus: Isthmus, tmp_path: Path
) -> None:
    code, said = isthmus("train", "--point", "blocks.4", "--setting", "c8-s2", "--data", str(tmp_path))

    assert code == 27
    assert said.startswith(f"isthmus: no picture lies below {tmp_path}\n  mend: ")
    assert ".jpg" in said


def test_training_on_a_folder_that_is_not_there_is_refused(isthmus: Isthmus, tmp_path: Path) -> None:
    code, said = isthmus("train", "--point", "blocks.4", "--setting", "c8-s2", "--data", str(tmp_path / "none"))

    assert code == 27
    assert "there is no folder" in said
    assert "--data" in said


@pytest.mark.parametrize("words", [("bundle", "inspect"), ("up", "--tail", "noop")])
def test_a_bundle_that_is_not_there_is_refused_with_the_file_that_is_missing(
    isthmus: Isthmus, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, said = isthmus(*words, str(tmp_path / "none"))

    assert code == 20
    assert "none/manifest.json cannot be read" in said
    assert "\n  mend: fetch or build the bundle again\n" in said


def test_a_bundle_with_a_changed_file_is_not_served(isthmus: Isthmus, tmp_path: Path) -> None:
    write_synthetic(tmp_path)
    (tmp_path / "labels.txt").write_text("RED\ngreen\nblue\n", encoding="utf-8")
    code, said = isthmus("up", str(tmp_path), "--tail", "noop")

    assert code == 20
    assert "labels.txt has changed" in said


def test_a_cluster_without_tokens_does_not_listen_to_strangers(isthmus: Isthmus, tmp_path: Path) -> None:
    write_synthetic(tmp_path)
    code, said = isthmus("up", str(tmp_path), "--tail", "noop", "--host", "0.0.0.0")

    assert (code, said) == (
        2,
        "isthmus: without tokens the cluster does not listen on 0.0.0.0\n"
        "  mend: make tokens with `isthmus token create` and give --tokens, or use --host 127.0.0.1\n",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("sharpen",), "No such command 'sharpen'"),
        (("points",), "Missing argument 'BACKBONE'"),
        (("train", "--setting", "c8-s2"), "Missing option '--point'"),
        (("up", "bundle", "--tail", "abacus"), "'abacus' is not one of"),
    ],
)
def test_words_that_make_no_command_are_a_usage_error(isthmus: Isthmus, words: tuple[str, ...], says: str) -> None:
    code, said = isthmus(*words)

    assert code == 2
    assert said.startswith("Usage: isthmus")
    assert says in said
