"""The settings of one agent process, and the only place that reads the environment."""

import os
import platform
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from device_agent.addresses import ServerAddress
from device_agent.emulation import Emulation
from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkKind
from device_agent.rules import Rules
from wire.errors import SettingError
from wire.ids import DeviceId
from wire.trace_ids import SESSION_DIGITS

Report = Literal["json", "lines", "table"]
LogFormat = Literal["json", "text"]

_MAX_TOKEN_CHARS: Final = 512


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
    metrics_port: int | None = None
    """Where Prometheus may fetch metrics; nowhere when None, and at a port that is free when 0."""
    metrics_host: str = "127.0.0.1"
    metrics_push: str | None = None
    """The URL of a Pushgateway."""
    trace: str | None = None
    """Where spans are written: a file, or the URL of a collector."""
    session: str = field(default_factory=lambda: new_session())
    """What tells this run from others of the device, in its traces and logs."""

    def __post_init__(self) -> None:
        _check(0 <= self.fps <= 1000, f"--fps is {self.fps}", "give 0 to 1000")
        _check(self.frames is None or self.frames > 0, f"--frames is {self.frames}", "give 1 or more")
        deadline_s, slowdown = self.rules.constraints.deadline_s, self.emulation.slowdown
        _check(0.001 <= deadline_s <= 3600, f"--deadline-ms is {deadline_s * 1e3:g}", "give 1 or more")
        _check(1 <= slowdown <= 1000, f"--device-slowdown is {slowdown}", "give 1 to 1000")
        _check(1 <= self.threads <= 256, f"--threads is {self.threads}", "give 1 to 256")
        _check(1 <= len(self.device_id) <= 64, "--device-id is too long or empty", "give 1 to 64 characters")
        port = self.metrics_port
        _check(port is None or 0 <= port <= 65535, f"--metrics-port is {port}", "give 0 to 65535")


def default_cache() -> Path:
    """Give the cache folder of this user: ``$XDG_CACHE_HOME/isthmus``, or ``~/.cache/isthmus``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "isthmus"


def log_format() -> LogFormat:
    """Give the form of the log, ``$ISTHMUS_LOG``: lines of JSON, or, if it is not set, text for people."""
    wanted = os.environ.get("ISTHMUS_LOG") or "text"
    for known in get_args(LogFormat):
        if wanted == known:
            return known
    raise SettingError(f"ISTHMUS_LOG is {wanted!r}", mend="set it to json or text")


def new_session() -> str:
    """Name a run, so that it can be told from others of its device."""
    return secrets.token_hex(SESSION_DIGITS // 2)


def find_token(file: Path | None) -> str | None:
    """Give the token of this device: what the file holds, or else ``$ISTHMUS_TOKEN``; None if there is neither.

    Never an option of its own, since every user of a machine sees the options of every process.

    Raises:
        SettingError: the file cannot be read, or holds no token.
    """
    text = os.environ.pop("ISTHMUS_TOKEN", "")  # nothing that this process starts needs it
    if file is not None:
        try:
            with file.open(encoding="ascii") as opened:
                text = opened.read(_MAX_TOKEN_CHARS + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"no token can be read from {file}", mend="give --token-file another file") from error
    token = text.strip()
    if file is None and not token:
        return None
    _check(
        0 < len(token) <= _MAX_TOKEN_CHARS and token.isprintable() and " " not in token,
        f"what {file or '$ISTHMUS_TOKEN'} holds is no token",
        "give the line that `isthmus token create` printed",
    )
    return token


def default_device_id() -> DeviceId:
    """Give the name of this machine."""
    return DeviceId(platform.node()[:64] or "device")


def _check(holds: bool, fault: str, mend: str) -> None:  # noqa: FBT001  (a condition is what it is)
    if not holds:
        raise SettingError(fault, mend=mend)
