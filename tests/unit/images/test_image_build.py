"""``build.sh`` asks docker, or else podman, for the images by the names that the manifests have."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from image_recipe import IMAGES, ROOT

FAKE = """\
#!/bin/sh
[ "$1" = info ] && exit {info}
echo "$(basename "$0") $@" >> "$CALLS"
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    """A folder of the PATH in which the tests put the engines that they want."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("git", "sed", "sha256sum", "cut", "basename", "dirname", "env", "bash", "sh"):
        (found,) = [path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists()][:1]
        (folder / name).symlink_to(found)
    return folder


def install(engines: Path, *names: str, info: int = 0) -> None:
    for name in names:
        (engines / name).write_text(FAKE.format(info=info))
        (engines / name).chmod(0o755)


def build(engines: Path, calls: Path, *images: str, **settings: str) -> subprocess.CompletedProcess[str]:
    told = {"PATH": str(engines), "CALLS": str(calls), **settings}
    command = [str(IMAGES / "build.sh"), *images]
    return subprocess.run(command, env=told, capture_output=True, text=True, check=False)


def test_all_images_are_built_under_the_names_of_the_manifests(engines: Path, calls: Path, bundle: Path) -> None:
    install(engines, "docker", "podman")
    done = build(engines, calls, BUNDLE=str(bundle))
    assert done.returncode == 0, done.stderr
    lines = calls.read_text().splitlines()
    digest = hashlib.sha256(b"{}").hexdigest()
    project = (ROOT / "pyproject.toml").read_text()
    for line, name in zip(lines, ("cluster", "agent", "loadtest", "bundle"), strict=True):
        assert line.startswith(f"docker build --file k8s/images/{name}/Dockerfile --tag localhost/isthmus-{name}:")
        tag = line.split("--tag ")[1].split()[0].rpartition(":")[2]
        assert tag == digest[:12] if name == "bundle" else f'\nversion = "{tag}"\n' in project
    assert lines[-1].endswith(" k8s/images/bundle")
    assert f"--build-context bundle={bundle} --build-arg NAME=toy --build-arg DIGEST={digest}" in lines[-1]


def test_the_platform_of_an_agent_is_that_which_is_asked_for(engines: Path, calls: Path) -> None:
    install(engines, "docker")
    build(engines, calls, "agent", PLATFORMS="linux/arm64")
    build(engines, calls, "agent")
    arm, amd = calls.read_text().splitlines()
    assert "--platform linux/arm64 " in arm
    assert "--platform linux/amd64 " in amd


def test_with_cuda_the_cluster_has_another_extra_and_another_tag(engines: Path, calls: Path) -> None:
    install(engines, "docker")
    build(engines, calls, "cluster-cuda", REGISTRY="registry.example/team")
    (line,) = calls.read_text().splitlines()
    assert "--tag registry.example/team/isthmus-cluster:" in line
    assert "-cuda " in line
    assert "--build-arg EXTRA=cluster " in line


def test_where_docker_s_engine_does_not_run_podman_builds_what_can_be_checked(engines: Path, calls: Path) -> None:
    install(engines, "docker", info=1)
    install(engines, "podman")
    build(engines, calls, "agent", PLATFORMS="linux/arm64,linux/amd64")
    before, line = calls.read_text().splitlines()
    assert before.startswith("podman manifest rm localhost/isthmus-agent:")
    assert "--manifest localhost/isthmus-agent:" in line
    assert "--format docker" in line


def test_a_registry_s_settings_are_a_secret_of_the_build(engines: Path, calls: Path) -> None:
    install(engines, "docker")
    build(engines, calls, "agent", PIP_CONF="/somewhere/pip.conf")
    assert "--secret id=pip,src=/somewhere/pip.conf" in calls.read_text()


@pytest.mark.parametrize("there", [(), ("docker", "podman")])
def test_without_a_running_engine_it_says_what_to_do(engines: Path, calls: Path, there: tuple[str, ...]) -> None:
    install(engines, *there, info=1)
    done = build(engines, calls, "agent")
    assert done.returncode == 2
    assert "neither docker nor podman runs here" in done.stderr


@pytest.mark.parametrize(("image", "says"), [("agnet", "there is no image agnet"), ("bundle", "there is no bundle in")])
def test_what_cannot_be_built_is_said_before_anything_is(engines: Path, calls: Path, image: str, says: str) -> None:
    install(engines, "docker")
    done = build(engines, calls, image, BUNDLE="/nowhere")
    assert done.returncode == 2
    assert says in done.stderr
    assert not calls.exists()


def test_make_images_runs_it() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "images", "IMAGES=agent"], cwd=ROOT, env=os.environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "k8s/images/build.sh agent" in done.stdout
