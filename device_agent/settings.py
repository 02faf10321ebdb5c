"""The settings of one agent process, and the only place that reads the environment."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from device_agent.addresses import ServerAddress
from device_agent.emulation import Emulation
from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkKind
from device_agent.rules import Rules
from wire.errors import SettingError
from wire.ids import DeviceId

Report = Literal["json", "lines", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Everything a user can set; ``fps`` 0 plays as fast as answers come, ``frames`` None plays all."""

    server: ServerAddress
    source: str
    cache: Path
    device_id: DeviceId
    rules: Rules
    link: LinkKind = "kalman"
    energy: EnergyModel = field(default_factory=EnergyModel)
    emulation: Emulation = field(default_factory=Emulation)
    live: bool = False
    """Whether a file is played as a camera would be: frames that a newer one has overtaken are skipped."""
    report: Report = "json"
    out: Path | None = None
    fps: float = 10.0
    frames: int | None = None
    loop: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        _check(0 <= self.fps <= 1000, f"--fps is {self.fps}", "give 0 to 1000")
        _check(self.frames is None or self.frames > 0, f"--frames is {self.frames}", "give 1 or more")
        deadline_s, slowdown = self.rules.constraints.deadline_s, self.emulation.slowdown
        _check(0.001 <= deadline_s <= 3600, f"--deadline-ms is {deadline_s * 1e3:g}", "give 1 or more")
        _check(1 <= slowdown <= 1000, f"--device-slowdown is {slowdown}", "give 1 to 1000")
        _check(1 <= self.threads <= 256, f"--threads is {self.threads}", "give 1 to 256")
        _check(1 <= len(self.device_id) <= 64, "--device-id is too long or empty", "give 1 to 64 characters")


def default_cache() -> Path:
    """Give the cache folder of this user: ``$XDG_CACHE_HOME/isthmus``, or ``~/.cache/isthmus``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "isthmus"


def default_device_id() -> DeviceId:
    """Give the name of this machine."""
    return DeviceId(platform.node()[:64] or "device")


def _check(holds: bool, fault: str, mend: str) -> None:  # noqa: FBT001  (a condition is what it is)
    if not holds:
        raise SettingError(fault, mend=mend)
