"""What a Locust run is told, from its environment: the one place of the load tests' Locust that reads it.

Owns the names of the variables. Imports no Locust.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from device_agent.settings import default_cache
from loadtests.load_shapes import Shape, ShapeName
from wire.errors import SettingError

PREFIX: Final = "ISTHMUS_"
DEFAULT_LINKS: Final = "wifi=0:50,4g=0:12,3g=0:2"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocustSettings:
    """How the agents of one Locust run are; agents take devices and links in turns."""

    devices: tuple[str, ...] = ("raspberry-pi-3b+", "raspberry-pi-4b", "jetson-nano")
    links: Mapping[str, str] = field(default_factory=dict)
    """Names, and scripts as ``loadtests.link_script`` reads them; all agents of one link share it."""
    policy: str = "auto"
    fps: float = 10.0
    deadline_ms: float = 300.0
    max_drop: float = 5.0
    clip: str = "bikes"
    cache: Path = field(default_factory=default_cache)
    tokens: Path | None = None
    """A folder with the token of each agent in a file of its name, ``locust-0`` and so on; None where none is asked."""
    shape: Shape | None = None
    background_mbps: float = 5.0
    """Of each background user; many of them fill the links up to ``background_most_mbps``."""
    background_most_mbps: float = 50.0
    background_users: int = 0

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> "LocustSettings":
        """Read ``ISTHMUS_…`` variables; what is not set keeps its default.

        Raises:
            SettingError: a value makes no sense.
        """
        given = os.environ if environment is None else environment

        def text(name: str, default: str) -> str:
            return given.get(PREFIX + name, default)

        def number(name: str, default: float) -> float:
            try:
                return float(text(name, str(default)))
            except ValueError as error:
                raise SettingError(f"{PREFIX}{name} is no number: {text(name, '')!r}", mend="give a number") from error

        defaults = cls()
        return cls(
            devices=tuple(text("DEVICES", ",".join(defaults.devices)).split(",")),
            links=_links(text("LINKS", DEFAULT_LINKS)),
            policy=text("POLICY", defaults.policy),
            fps=number("FPS", defaults.fps),
            deadline_ms=number("DEADLINE_MS", defaults.deadline_ms),
            max_drop=number("MAX_DROP", defaults.max_drop),
            clip=text("CLIP", defaults.clip),
            cache=Path(text("CACHE", str(defaults.cache))),
            tokens=Path(text("TOKENS", "")) if text("TOKENS", "") else None,
            shape=_shape(text("SHAPE", ""), agents=number("AGENTS", 10), seconds=number("SECONDS", 120)),
            background_mbps=number("BACKGROUND_MBPS", defaults.background_mbps),
            background_most_mbps=number("BACKGROUND_MOST_MBPS", defaults.background_most_mbps),
            background_users=int(number("BACKGROUND_USERS", 0)),
        )


def _links(text: str) -> dict[str, str]:
    """Read NAME=SCRIPT,NAME=SCRIPT; a script's own steps are separated by semicolons. ``none`` is no emulated link."""
    if text == "none":
        return {}
    links = {}
    for part in text.split(","):
        name, equals, script = part.partition("=")
        if not equals:
            raise SettingError(f"{part!r} is no link", mend="write NAME=SECONDS:MBPS;SECONDS:MBPS, such as wifi=0:50")
        links[name] = script.replace(";", ",")
    return links


def _shape(name: str, *, agents: float, seconds: float) -> Shape | None:
    if not name:
        return None
    for known in get_args(ShapeName):
        if name == known:
            return Shape(known, int(agents), seconds)
    raise SettingError(f"there is no shape {name!r}", mend=f"choose among {', '.join(get_args(ShapeName))}")
