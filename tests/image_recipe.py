"""The Dockerfiles of k8s/images as the tests read them: stages, their steps, and what holds in the end."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dockerfile_parse import DockerfileParser
from dockerfile_parse.util import WordSplitter

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "k8s" / "images"
MOUNT = re.compile(r"--mount=\S+\s+")


@dataclass(frozen=True)
class Step:
    instruction: str
    value: str

    @property
    def words(self) -> list[str]:
        """The words of the form that is JSON."""
        return json.loads(self.value)

    @property
    def script(self) -> str:
        """What a shell runs of a RUN, without the secrets that only a build has."""
        return MOUNT.sub("", self.value)

    def pairs(self, environment: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the values of an ENV, ARG or LABEL, with what they take from the environment filled in."""
        words = WordSplitter(self.value, envs=dict(environment or {})).split()
        return dict(word.partition("=")[::2] for word in words)


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    steps: tuple[Step, ...]

    def all(self, instruction: str) -> list[Step]:
        return [step for step in self.steps if step.instruction == instruction]

    def last(self, instruction: str) -> Step:
        return self.all(instruction)[-1]

    def environment(self, before: Mapping[str, str] | None = None) -> dict[str, str]:
        """Add what its ENV say to an environment."""
        told = dict(before or {})
        for step in self.all("ENV"):
            told |= step.pairs(told)
        return told


@dataclass(frozen=True)
class Recipe:
    """One Dockerfile."""

    name: str
    arguments: Mapping[str, str]
    """Those before the first stage, which name the bases."""
    stages: tuple[Stage, ...]

    @property
    def final(self) -> Stage:
        return self.stages[-1]

    @property
    def healthcheck(self) -> list[str]:
        _, _, command = self.final.last("HEALTHCHECK").value.partition("CMD ")
        return json.loads(command)


def read_recipe(name: str, text: str | None = None) -> Recipe:
    """Read the Dockerfile of an image, or a text in its place."""
    parser = DockerfileParser(str(IMAGES / name / "Dockerfile"), cache_content=True)
    if text is not None:
        parser.cached_content = text
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for part in parser.structure:
        step = Step(part["instruction"], part["value"])
        if step.instruction == "COMMENT":
            continue
        if step.instruction == "FROM":
            base, _, title = step.value.partition(" AS ")
            (filled,) = WordSplitter(base, envs=arguments).split()
            stages.append(Stage(title, filled, ()))
        elif stages:
            stages[-1] = Stage(stages[-1].name, stages[-1].base, (*stages[-1].steps, step))
        else:
            arguments |= step.pairs()
    return Recipe(name, arguments, tuple(stages))


def recipe_names() -> list[str]:
    return sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))
