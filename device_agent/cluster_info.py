"""What the cluster says of itself over HTTP: its version, its bundle, and its load signals."""

import json
from dataclasses import dataclass
from typing import Annotated, Final, Protocol, TypeVar
from urllib.parse import quote

from wire.errors import ClusterUnreachable, UnsupportedVersion, WireError
from wire.ids import DigestField, PointName
from wire.messages import PROTOCOL_VERSION, LoadSignal
from wire.records import Length, Range, from_plain


class Fetch(Protocol):
    """Gives at most so many bytes from a path on the cluster; raises ClusterUnreachable."""

    def __call__(self, path: str, most_bytes: int, /, *, method: str = "GET") -> bytes:
        """Ask, and wait for the answer."""


Record = TypeVar("Record")

_MOST_BYTES: Final = 2**20
_MEND: Final = "see that the address is that of an Isthmus cluster"


@dataclass(frozen=True, slots=True)
class ClusterVersion:
    """What runs on the cluster: release, protocol version, and the digest of its bundle."""

    isthmus: Annotated[str, Length(64)]
    protocol: Annotated[int, Range(0, 2**31)]
    bundle: DigestField


@dataclass(frozen=True, slots=True)
class _Loads:
    points: Annotated[tuple[LoadSignal, ...], Length(1000)]


def fetch_version(fetch: Fetch) -> ClusterVersion:
    """Ask what runs there; raises UnsupportedVersion if it speaks another protocol."""
    version = _record(ClusterVersion, "/v1/version", fetch)
    if version.protocol != PROTOCOL_VERSION:
        raise UnsupportedVersion(
            f"the cluster speaks protocol version {version.protocol} and this agent {PROTOCOL_VERSION}",
            mend="upgrade the older side",
        )
    return version


def fetch_loads(fetch: Fetch) -> tuple[LoadSignal, ...]:
    """Ask for the load signal of every point that is served."""
    return _record(_Loads, "/v1/load", fetch).points


def wake_point(fetch: Fetch, point: PointName) -> LoadSignal:
    """Have a point that sleeps started, and hear how it stands."""

    def post(path: str, most_bytes: int, /, *, method: str = "POST") -> bytes:
        return fetch(path, most_bytes, method=method)

    return _record(LoadSignal, f"/v1/wake?point={quote(point, safe='')}", post)


def _record(cls: type[Record], path: str, fetch: Fetch) -> Record:
    try:
        return from_plain(cls, json.loads(fetch(path, _MOST_BYTES)), where=path)
    except (ValueError, RecursionError, WireError) as error:
        raise ClusterUnreachable(f"what answers at {path} is no Isthmus cluster: {error}", mend=_MEND) from error
