"""Whether a deployment can be come to, and whether its TLS is good; the sockets are the door's."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Protocol

from device_agent.addresses import ServerAddress
from device_agent.doctor.door import Certificate
from device_agent.doctor.finding import Finding

EXPIRES_SOON_DAYS: Final = 14
SHOWN: Final = 3
"""Addresses of one name, at most."""
_DAY_S: Final = 86400.0


class Entrance(Protocol):
    """What is tried of a door; each raises ClusterUnreachable, which says why not."""

    @property
    def place(self) -> str:
        """The host and the port that are tried."""

    @property
    def proxy(self) -> tuple[str, int] | None:
        """The proxy between, if there is one."""

    def addresses(self) -> tuple[str, ...]:
        """Look the name up."""

    def connect(self) -> float:
        """Connect; gives the seconds that it took."""

    def certificate(self) -> Certificate:
        """Come to TLS."""

    def speaks_tls(self) -> bool:
        """Tell whether TLS is spoken at all."""


class ReachCheck:
    """Its name has an address, and its port takes connections."""

    name = "reachable"
    needs: tuple[str, ...] = ()

    def __init__(self, door: Entrance) -> None:
        self._door = door

    def run(self) -> Iterator[Finding]:
        """Look up, and connect."""
        addresses = self._door.addresses()
        took_s = self._door.connect()
        which = "" if addresses[0] in self._door.place else f" ({', '.join(addresses[:SHOWN])})"
        what = "the proxy " if self._door.proxy is not None else ""
        yield Finding(
            self.name,
            "ok",
            f"{what}{self._door.place}{which} takes connections, after {took_s * 1e3:.1f} ms",
            figures={"addresses": list(addresses), "connect_ms": round(took_s * 1e3, 3)},
        )


class TlsCheck:
    """Its certificate is for its name, trusted here, and good for a while; or none is needed."""

    name = "tls"
    needs = ("reachable",)

    def __init__(self, server: ServerAddress, door: Entrance, *, now: Callable[[], float] = time.time) -> None:
        self._server, self._door, self._now = server, door, now

    def run(self) -> Iterator[Finding]:
        """Come to TLS, where URL asks for it."""
        if self._server.secure:
            yield self._of(self._door.certificate())
        elif self._server.is_loopback:
            yield Finding(self.name, "ok", "no TLS is spoken, and on loopback none is needed")
        else:
            what = "the token and every frame travel" if self._server.token is not None else "every frame travels"
            yield Finding(
                self.name,
                "warn",
                f"{what} in the clear, for everybody on the way to read",
                "give the cluster a certificate (--tls-cert, or TLS at the Ingress), and write wss:// in URL",
            )

    def _of(self, certificate: Certificate) -> Finding:
        days = (certificate.until_s - self._now()) / _DAY_S
        date = datetime.fromtimestamp(certificate.until_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        figures = {"names": list(certificate.names), "issuer": certificate.issuer, "days_left": round(days, 2)}
        if days < EXPIRES_SOON_DAYS:
            sentence = f"the certificate expires in {days:.1f} days, on {date}"
            mend = "renew it before: a cluster takes a renewed file within a second, without cutting a stream"
            return Finding(self.name, "warn", sentence, mend, figures=figures)
        sentence = (
            f"the certificate is for {self._server.host}, vouched for by {certificate.issuer}, "
            f"and good for {days:.0f} days more"
        )
        return Finding(self.name, "ok", sentence, figures=figures)
