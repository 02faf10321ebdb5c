"""What the stages of a Dockerfile do, done in a folder instead of a container, as far as they need no root."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from image_recipe import ROOT, Recipe, Stage, read_recipe

TIMEOUT_S = 280
INSIDE = re.compile(r"(?<![\w./])/(?=opt/|build\b|usr/share/)")
"""Where a path begins that an image writes to."""
NOT_HERE = {"PIP_NO_CACHE_DIR"}
"""What keeps a layer small, and would have every test download all anew."""


@dataclass(frozen=True)
class ReplayedImage:
    recipe: Recipe
    root: Path
    """Stands for the image's /."""

    @property
    def site_packages(self) -> Path:
        return self.root / "opt/isthmus/lib/python3.11/site-packages"

    @property
    def entrypoint(self) -> list[str]:
        name, *words = self.recipe.final.last("ENTRYPOINT").words
        return [str(self.program(name)), *words]

    @property
    def environment(self) -> dict[str, str]:
        """All that a container's processes have in their environment."""
        told = self.recipe.final.environment({"PATH": "/usr/local/bin:/usr/bin:/bin"})
        return {key: _here(value, self.root) for key, value in told.items()}

    def program(self, name: str) -> Path:
        return self.root / "opt/isthmus/bin" / name

    def healthy(self, port: int) -> bool:
        """Ask as the HEALTHCHECK does, at another port than that which the image tells."""
        (told,) = self.recipe.final.last("EXPOSE").value.split()
        name, *words = [word.replace(f":{told}/", f":{port}/") for word in self.recipe.healthcheck]
        command = [str(self.program(name)), *words]
        done = subprocess.run(command, capture_output=True, env=self.environment, timeout=TIMEOUT_S, check=False)
        return done.returncode == 0


def replay(name: str, root: Path, *, compiled: bool = True) -> ReplayedImage:
    """Run the stages of an image one after the other, and lay out what the last one copies from them.

    All stages have one root. Where it need not be ``compiled``, Python's files are left as they came, which spares most
    of an install's time.
    """
    recipe = read_recipe(name)
    bare = {} if compiled else {"PIP_COMPILE": "0"}
    told: dict[str, dict[str, str]] = {}
    for stage in recipe.stages[:-1]:
        told[stage.name] = _run(stage, root, told.get(stage.base, bare))
    for step in recipe.final.all("COPY"):
        _copy(step.value.split(), root, root)
    return ReplayedImage(recipe, root)


def _run(stage: Stage, root: Path, before: dict[str, str]) -> dict[str, str]:
    told = dict(before)
    folder = Path(told.get("WORKDIR", root))
    for step in stage.steps:
        match step.instruction:
            case "ARG" | "ENV":
                told |= {key: _here(value, root) for key, value in step.pairs(told).items() if key not in NOT_HERE}
            case "WORKDIR":
                folder = Path(_here(step.value, root))
                folder.mkdir(parents=True, exist_ok=True)
                told["WORKDIR"] = str(folder)
            case "COPY":
                _copy(step.value.split(), ROOT, folder)
            case "RUN":
                _shell(_here(step.script, root), folder, told)
            case other:
                raise AssertionError(f"nobody here can replay {other}")
    return told


def _shell(script: str, folder: Path, told: dict[str, str]) -> None:
    own = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env={**os.environ, **told, "PATH": own}, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def _here(text: str, root: Path) -> str:
    return INSIDE.sub(f"{root}/", text)


def _copy(words: list[str], context: Path, folder: Path) -> None:
    *sources, target = [word for word in words if not word.startswith("--from=")]
    into = folder / target.lstrip("/")
    ignore = _left_out if context == ROOT else None
    for source in sources:
        path = context / source.lstrip("/")
        if path == into:
            continue  # one folder stands for the roots of all stages
        if path.is_dir():
            shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True, ignore=ignore)
        else:
            to = into / path.name if target.endswith("/") else into
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Leave out what .dockerignore does."""
    return {name for name in names if name == "__pycache__" or name.endswith(".so")}
