"""What every Dockerfile of k8s/images keeps to."""

import json
import re
from collections.abc import Iterator

from image_recipe import Recipe, Stage, Step

USER = "10001"
VERSIONED = re.compile(r"^[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*(@sha256:[0-9a-f]{64})?$")
PIP = re.compile(r"\bpip\b.*?\b(install|download|wheel)\b")
BUILDS = re.compile(r"\b(pip|apt-get|apt|gcc|cc|make|curl|wget)\b")
SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY", re.IGNORECASE)
LABELS = {f"org.opencontainers.image.{name}" for name in ("title", "description", "version", "licenses")}


def faults(recipe: Recipe) -> list[str]:
    """Say what is wrong, a sentence each."""
    return [*_bases(recipe), *_steps(recipe), *_constraints(recipe), *_final(recipe)]


def _bases(recipe: Recipe) -> Iterator[str]:
    names = {stage.name for stage in recipe.stages}
    for stage in recipe.stages:
        if stage.base not in names and not VERSIONED.match(stage.base):
            yield f"the base {stage.base} has no full version"


def _steps(recipe: Recipe) -> Iterator[str]:
    for stage in recipe.stages:
        for step in stage.steps:
            if step.instruction == "ADD":
                yield f"ADD fetches and unpacks: {step.value}"
            if step.instruction in ("ENV", "ARG", "LABEL") and SECRET.search(step.value):
                yield f"this looks like a secret, which every layer would keep: {step.value}"
            if step.instruction == "COPY" and "." in step.value.split() and "--from=" not in step.value:
                yield f"the whole context is copied: {step.value}"


def _constraints(recipe: Recipe) -> Iterator[str]:
    told: dict[str, tuple[dict[str, str], set[str]]] = {}
    for stage in recipe.stages:
        environment, copied = told.get(stage.base, ({}, set()))
        environment, copied = stage.environment(environment), set(copied)
        for step in stage.steps:
            if step.instruction == "COPY":
                copied |= set(step.value.split()[:-1])
            if step.instruction == "RUN" and PIP.search(step.script):
                held = environment.get("PIP_CONSTRAINT", "").rpartition("/")[2]
                if held != "constraints.txt" or held not in copied:
                    yield f"constraints.txt does not hold here: {step.script}"
        told[stage.name] = environment, copied


def _final(recipe: Recipe) -> Iterator[str]:
    final = recipe.final
    users = final.all("USER")
    if not users or users[-1].value != USER:
        yield f"the last USER is not {USER}"
    for step in final.all("RUN"):
        if BUILDS.search(step.script):
            yield f"the last stage installs or builds: {step.script}"
    checks = final.all("HEALTHCHECK")
    if not checks or "CMD [" not in checks[-1].value:
        yield "there is no HEALTHCHECK that needs no shell of its own"
    if not final.all("ENTRYPOINT") or not _is_json(final.last("ENTRYPOINT")):
        yield "there is no ENTRYPOINT that takes arguments"
    labels = {name: value for step in final.all("LABEL") for name, value in step.pairs({"VERSION": "1"}).items()}
    if missing := LABELS - labels.keys():
        yield f"labels are missing: {', '.join(sorted(missing))}"
    yield from _python(recipe, final)


def _python(recipe: Recipe, final: Stage) -> Iterator[str]:
    if not final.base.startswith("python:"):
        return
    if "-slim" not in final.base:
        yield f"the last stage has a compiler: {final.base}"
    environment = final.environment({"PATH": "/usr/bin"})
    if environment.get("HOME") != "/tmp" or environment.get("PYTHONDONTWRITEBYTECODE") != "1":
        yield "it does not say that only /tmp can be written to"
    if not environment["PATH"].startswith("/opt/isthmus/bin:"):
        yield "its own programs are not the first of the PATH"


def _is_json(step: Step) -> bool:
    try:
        return isinstance(step.words, list)
    except json.JSONDecodeError:
        return False
