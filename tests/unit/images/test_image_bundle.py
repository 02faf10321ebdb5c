"""The bundle's image gives out the bundle that is asked for, whole, and no other."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from image_recipe import IMAGES, read_recipe

from cluster.bundles.synthetic import write_synthetic
from wire.bundle import Bundle

FOLDER = IMAGES / "bundle"
SHELLS = [["sh"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = write_synthetic(tmp_path / "made")
    return Bundle.open(Path(shutil.copytree(made.directory, tmp_path / "bundle" / "toy")), "cluster")


def build(bundle: Bundle, digest: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run what the Dockerfile runs once the bundle is copied, where it is copied to."""
    folder = bundle.directory.parent
    first, *rest = read_recipe("bundle").stages[0].last("RUN").script.split("&&")
    script = "&&".join([first.replace("/opt/", f"{FOLDER}/").replace("python ", f"{sys.executable} "), *rest])
    told = {**os.environ, "NAME": bundle.directory.name, "DIGEST": digest or bundle.digest}
    return subprocess.run(["sh", "-c", script], cwd=folder, env=told, capture_output=True, text=True, check=False)


def copy(bundle: Bundle, *words: str, shell: list[str]) -> subprocess.CompletedProcess[str]:
    command = [*shell, str(FOLDER / "copy-bundle"), *words]
    told = {**os.environ, "BUNDLE_ROOT": str(bundle.directory.parent)}
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False)


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    return words


@pytest.mark.parametrize("digits", [12, 64])
def test_the_bundle_that_is_asked_for_is_copied_again_at_each_start(
    bundle: Bundle, tmp_path: Path, shell: list[str], digits: int
) -> None:
    assert build(bundle).returncode == 0
    target = tmp_path / "pod"
    target.mkdir()
    for _ in range(2):
        done = copy(bundle, bundle.digest[:digits], str(target), shell=shell)
        assert done.returncode == 0, done.stderr
        assert Bundle.open(target / "toy", "cluster").digest == bundle.digest
        assert Bundle.open(target / "toy", "device").digest == bundle.digest
        (target / "toy" / "left-behind").touch()
    assert bundle.digest in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["0" * 64, "TARGET"], "not 000"),
        (["DIGEST" * 11, "TARGET"], "not DIGEST"),
        (["012345", "TARGET"], "too short"),
        (["", "TARGET"], "too short"),
        (["*" * 12, "TARGET"], "not ***"),
        (["0" * 64], "say which bundle and where to"),
    ],
)
def test_another_bundle_is_refused_in_a_sentence(
    bundle: Bundle, tmp_path: Path, shell: list[str], words: list[str], says: str
) -> None:
    build(bundle)
    target = tmp_path / "pod"
    target.mkdir()
    done = copy(bundle, *[str(target) if word == "TARGET" else word for word in words], shell=shell)
    assert done.returncode == 20
    assert says in done.stderr
    assert list(target.iterdir()) == []


def test_a_copy_that_is_not_whole_is_refused_by_the_name_of_the_file(
    bundle: Bundle, tmp_path: Path, shell: list[str]
) -> None:
    build(bundle)
    with (bundle.directory / bundle.manifest.labels).open("a") as labels:
        labels.write("one more\n")
    target = tmp_path / "pod"
    target.mkdir()
    done = copy(bundle, bundle.digest, str(target), shell=shell)
    assert done.returncode == 20
    assert bundle.manifest.labels in done.stderr


def test_an_image_is_not_built_of_another_bundle_than_was_said(bundle: Bundle) -> None:
    done = build(bundle, "0" * 64)
    assert done.returncode != 0
    assert bundle.digest in done.stderr


def test_an_image_is_not_built_of_a_bundle_that_was_changed(bundle: Bundle) -> None:
    with (bundle.directory / bundle.manifest.labels).open("a") as labels:
        labels.write("one more\n")
    done = build(bundle)
    assert done.returncode != 0
    assert bundle.manifest.labels in done.stdout


def test_an_image_holds_no_file_that_the_manifest_does_not_list(bundle: Bundle) -> None:
    (bundle.directory / "private.key").touch()
    done = build(bundle)
    assert done.returncode != 0
    assert "private.key" in done.stderr


def test_the_digest_is_that_of_the_manifest(bundle: Bundle) -> None:
    manifest = (bundle.directory / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == bundle.digest
