"""What a cluster says over HTTP when it does not do as it is asked, as an error of ours; owns no connection."""

import json
from typing import Final

from wire.errors import (
    ClusterUnreachable,
    Forbidden,
    IsthmusError,
    Overloaded,
    RateLimited,
    Unauthorized,
    UnknownPoint,
    UnsupportedVersion,
    error_class,
)

MOST_BYTES: Final = 8192
_MOST_CHARS: Final = 1024

_BY_STATUS: Final[dict[int, type[IsthmusError]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: UnknownPoint,
    426: UnsupportedVersion,
    429: RateLimited,
    503: Overloaded,
}
_OF_THIS_DEVICE: Final = frozenset({401, 403, 429})


def is_refusal(status: int) -> bool:
    """Tell whether it is this device that is refused, rather than that nothing is there to be had."""
    return status in _OF_THIS_DEVICE


def refusal_of(what: str, status: int, body: bytes) -> IsthmusError:
    """Give the error that a response names, if it is one of ours, and otherwise the one that its status means."""
    kind = _BY_STATUS.get(status, ClusterUnreachable)
    try:
        said = json.loads(body[:MOST_BYTES])
        named, message, mend = error_class(said["code"]), said["message"], said["mend"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return kind(f"{what} answered HTTP {status}")
    if named.http_status != status or not (isinstance(message, str) and isinstance(mend, str)):
        return kind(f"{what} answered HTTP {status}")
    return named(f"{what} answered: {_plain(message)}", mend=_plain(mend))


def _plain(text: str) -> str:
    """Leave out what could move a terminal's cursor."""
    return "".join(character for character in text[:_MOST_CHARS] if character.isprintable())
