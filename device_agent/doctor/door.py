"""The door of a deployment: its name, its port and its TLS, each tried by itself. Owns the sockets; judges nothing.

Where the environment names a proxy for it, as the agent's own connections take it, the proxy's door is tried.
"""

import http.client
import socket
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from device_agent.addresses import ServerAddress
from device_agent.doctor.door_faults import unknown_name, unreachable, untrusted
from device_agent.trust import tls_context

_PROXY_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a good certificate says of itself; ``issuer`` is who vouches for it, and ``until_s`` is Unix time."""

    names: tuple[str, ...]
    issuer: str
    until_s: float


class Door:
    """Comes to one address; ``timeout_s`` bounds each wait but the resolver's, which has a bound of its own."""

    def __init__(self, server: ServerAddress, *, timeout_s: float) -> None:
        self._server, self._timeout_s = server, timeout_s
        self.proxy = _proxy_of(server)
        """Host and port of the proxy through which the cluster is come to, or None."""
        self._host, self._port = self.proxy or (server.host, server.port)

    @property
    def place(self) -> str:
        """The host and the port that are tried."""
        return _place(self._host, self._port)

    def addresses(self) -> tuple[str, ...]:
        """Give the addresses of the host's name; raises ClusterUnreachable if there is none."""
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise unknown_name(self._host, error) from error
        except UnicodeError as error:
            raise unknown_name(self._host, socket.gaierror(socket.EAI_NONAME, str(error))) from error
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    def connect(self) -> float:
        """Connect and let go; gives the seconds that it took, and raises ClusterUnreachable."""
        begun_s = time.perf_counter()
        try:
            socket.create_connection((self._host, self._port), timeout=self._timeout_s).close()
        except OSError as error:
            raise unreachable(self.place, error, timeout_s=self._timeout_s) from error
        return time.perf_counter() - begun_s

    def certificate(self) -> Certificate:
        """Come to TLS as the agent does, and give the certificate; raises ClusterUnreachable, and SettingError."""
        context = tls_context(self._server.ca)
        try:
            said = self._shake_hands(context)
        except (OSError, http.client.HTTPException) as error:
            fault = error if isinstance(error, OSError) else OSError(str(error))
            raise untrusted(self._server, self._target, fault, timeout_s=self._timeout_s) from error
        return _certificate(said)

    def speaks_tls(self) -> bool:
        """Tell whether TLS is spoken at all, whoever vouches for it."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            self._shake_hands(context)
        except (OSError, http.client.HTTPException):
            return False
        return True

    @property
    def _target(self) -> str:
        return _place(self._server.host, self._server.port)

    def _shake_hands(self, context: ssl.SSLContext) -> Mapping[str, object]:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        if self.proxy is not None:
            connection.set_tunnel(self._server.host, self._server.port)
        try:
            connection.connect()
            assert isinstance(connection.sock, ssl.SSLSocket), "HTTPSConnection wraps what it connects"
            return connection.sock.getpeercert() or {}
        finally:
            connection.close()


def _proxy_of(server: ServerAddress) -> tuple[str, int] | None:
    if server.is_loopback or urllib.request.proxy_bypass(server.host):
        return None
    proxy = urllib.request.getproxies().get("https" if server.secure else "http")
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return (parts.hostname, parts.port or _PROXY_PORT) if parts.hostname else None


def _certificate(said: Mapping[str, object]) -> Certificate:
    names = tuple(str(value) for _, value in _pairs(said.get("subjectAltName")))
    issuer = {str(key): str(value) for part in _tuples(said.get("issuer")) for key, value in _pairs(part)}
    until_s = ssl.cert_time_to_seconds(str(said["notAfter"]))
    named = issuer.get("organizationName") or issuer.get("commonName") or "nobody who says a name"
    return Certificate(names, named, float(until_s))


def _pairs(value: object) -> list[tuple[object, object]]:
    return [(pair[0], pair[1]) for pair in _tuples(value) if isinstance(pair, tuple) and len(pair) == 2]


def _tuples(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
