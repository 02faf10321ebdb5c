"""The address of a cluster, as people write it and as HTTP and WebSocket need it; opens nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from wire.errors import SettingError
from wire.ids import DEVICE_HEADER, DeviceId, PointName

_SECURE_BY_SCHEME: Final = {"ws": False, "http": False, "wss": True, "https": True}
_MEND: Final = "write it like ws://127.0.0.1:8765"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a cluster listens, and how it is spoken to: the token to show, and who may vouch for its certificate.

    ``prefix`` is a path before ``/v1`` (with its slash), or empty; ``ca`` is a PEM file, or None for those that the
    system trusts. Neither the token nor the device that shows it is part of the address, and the token is
    never shown.
    """

    host: str
    port: int
    secure: bool = False
    prefix: str = ""
    ca: Path | None = field(default=None, compare=False)
    token: str | None = field(default=None, repr=False, compare=False)
    device: DeviceId | None = field(default=None, compare=False)

    @property
    def http_base(self) -> str:
        """Give the base of HTTP addresses, without a slash at its end."""
        return f"{'https' if self.secure else 'http'}://{self._place}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether the cluster is on this machine, where no proxy is wanted."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def headers(self) -> dict[str, str]:
        """Give the headers that every request and every stream needs: the token, and whose it should be."""
        if self.token is None:
            return {}
        named = {} if self.device is None else {DEVICE_HEADER: quote(self.device, safe="")}
        return {"Authorization": f"Bearer {self.token}", **named}

    def stream_of(self, point: PointName) -> str:
        """Give the WebSocket address of a partition point."""
        return f"{'wss' if self.secure else 'ws'}://{self._place}/v1/points/{quote(point, safe='')}/stream"

    @property
    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}{self.prefix}"


def parse_server(text: str) -> ServerAddress:
    """Read ws://, wss://, http://, https:// or host:port; raises SettingError for anything else."""
    try:
        parts = urlsplit(text if "://" in text else f"ws://{text}")
        port = parts.port
    except ValueError as error:
        raise SettingError(f"the server address {text!r} cannot be read: {error}", mend=_MEND) from error
    if parts.scheme not in _SECURE_BY_SCHEME:
        raise SettingError(f"the server address {text!r} has the unknown scheme {parts.scheme!r}", mend=_MEND)
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise SettingError(f"the server address {text!r} is not a host and a port", mend=_MEND)
    secure = _SECURE_BY_SCHEME[parts.scheme]
    if port is None:
        port = 443 if secure else 80
    return ServerAddress(parts.hostname, port, secure, parts.path.rstrip("/"))
