"""The Dockerfiles keep the rules, and are for the manifests that name their images."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from image_recipe import IMAGES, ROOT, read_recipe, recipe_names
from recipe_rules import faults

from device_agent.main import command

MANIFESTS = ROOT / "k8s"
PREFIX = "isthmus-"


def containers(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("image"), str):
            yield value
        for below in value.values():
            yield from containers(below)
    elif isinstance(value, list):
        for below in value:
            yield from containers(below)


def documents(pattern: str) -> Iterator[tuple[Path, Any]]:
    for path in sorted(MANIFESTS.glob(pattern)):
        for document in yaml.safe_load_all(path.read_text()):
            yield path, document


def named_containers() -> list[tuple[Path, dict[str, Any]]]:
    return [(path, found) for path, document in documents("**/*.yaml") for found in containers(document)]


AGENTS = [found for _, found in named_containers() if found["image"] == "isthmus-agent" and "args" in found]


@pytest.mark.parametrize("name", recipe_names())
def test_a_dockerfile_keeps_the_rules(name: str) -> None:
    assert faults(read_recipe(name)) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("USER 10001", "USER root", "the last USER is not 10001"),
        ("USER 10001", "", "the last USER is not 10001"),
        ("USER 10001", "USER 10001\nUSER 0", "the last USER is not 10001"),
        ("python:3.11.14-slim-bookworm", "python:latest", "the base python:latest has no full version"),
        ("python:3.11.14-bookworm", "python", "the base python has no full version"),
        ("python:3.11.14-slim-bookworm", "python:3.11.14-bookworm", "the last stage has a compiler"),
        ("COPY wire wire", "ADD https://example.org/wire.tar wire", "ADD fetches"),
        ("COPY wire wire", "COPY . .", "the whole context is copied"),
        ("PIP_CONSTRAINT=/build/constraints.txt", "PIP_QUIET=1", "constraints.txt does not hold here"),
        ("pyproject.toml constraints.txt", "pyproject.toml", "constraints.txt does not hold here"),
        ("EXPOSE 9464", "ENV ISTHMUS_TOKEN=abc", "this looks like a secret"),
        ("EXPOSE 9464", "RUN apt-get install --yes gcc", "the last stage installs or builds"),
        ("HEALTHCHECK --interval", "LABEL x", "there is no HEALTHCHECK"),
        ('ENTRYPOINT ["isthmus-agent", ', 'ENTRYPOINT isthmus-agent "', "there is no ENTRYPOINT"),
        ("HOME=/tmp", "HOME=/root", "only /tmp can be written to"),
        ("PATH=/opt/isthmus/bin:$PATH", "PATH=$PATH:/opt/isthmus/bin", "not the first of the PATH"),
        ("org.opencontainers.image.licenses", "licence", "labels are missing"),
    ],
)
def test_a_planted_mistake_is_told(old: str, new: str, says: str) -> None:
    text = (IMAGES / "agent" / "Dockerfile").read_text()
    assert old in text
    assert any(says in fault for fault in faults(read_recipe("agent", text.replace(old, new))))


def test_every_image_of_ours_that_the_manifests_name_is_built_here_at_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {container["image"] for _, container in named_containers()}
    elsewhere = set()
    for path, document in documents("**/kustomization.yaml"):
        for image in document.get("images", []):
            name, renamed = image["name"], image.get("newName", image["name"])
            if not renamed.endswith(f"/{name}"):
                elsewhere.add(name)
            elif name == "isthmus-bundle":
                assert re.fullmatch("[0-9a-f]{12}", image["newTag"]), path
            else:
                assert image["newTag"].startswith(project["version"]), f"{path}: {image}"
    ours = {name for name in named - elsewhere if name.startswith(PREFIX)}
    assert ours == {f"{PREFIX}{name}" for name in recipe_names()}


@pytest.mark.parametrize("container", AGENTS, ids=lambda container: container["args"][1])
def test_the_agent_s_entrypoint_takes_what_its_manifests_give_it(container: dict[str, Any]) -> None:
    final = read_recipe("agent").final
    values = {"ISTHMUS_SERVER": "ws://x:1", "ISTHMUS_SOURCE": "rtsp://x", "ISTHMUS_DEVICE": "x"}
    words = final.last("ENTRYPOINT").words[1:] + container["args"]
    for name in ("ISTHMUS_SERVER", "ISTHMUS_SOURCE", "ISTHMUS_DEVICE", "ISTHMUS_FPS", "ISTHMUS_DEADLINE_MS"):
        words = [word.replace(f"$({name})", values.get(name, "10")) for word in words]
    parsed = command.make_context("isthmus-agent", words).params
    assert str(parsed["metrics_port"]) == final.last("EXPOSE").value
    assert str(parsed["cache"]) in {mount["mountPath"] for mount in container["volumeMounts"]}
    if Path(parsed["source"]).is_absolute():
        assert parsed["source"] in {step.value.split()[-1] for step in final.all("COPY")}


def test_the_cluster_image_tells_the_ports_of_its_containers() -> None:
    told = set(read_recipe("cluster").final.last("EXPOSE").value.split())
    wanted = {str(port["containerPort"]) for _, found in named_containers() for port in found.get("ports", [])
              if found["image"] == "isthmus-cluster"}  # fmt: skip
    assert wanted
    assert wanted <= told


def test_the_context_of_a_build_holds_what_is_copied_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    first, *rest = lines
    assert first == "*"
    kept = {line.removeprefix("!") for line in rest if line.startswith("!")}
    copied = {
        source
        for name in recipe_names()
        if name != "bundle"  # whose context is its own folder
        for stage in read_recipe(name).stages
        for step in stage.all("COPY")
        if "--from=" not in step.value
        for source in step.value.split()[:-1]
    }
    assert kept == copied
    assert {line for line in rest if not line.startswith("!")} == {"**/__pycache__", "**/*.so"}
