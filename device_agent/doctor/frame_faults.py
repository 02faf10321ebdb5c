"""What it means for a deployment that a frame was not answered, and how to mend it. Pure."""

from typing import Final

from wire.errors import (
    BundleError,
    ClusterUnreachable,
    DeadlineExceeded,
    Forbidden,
    IsthmusError,
    Overloaded,
    RateLimited,
    TailFailed,
    Unauthorized,
    UnknownOption,
    UnknownPoint,
    WrongBundle,
)

_MEANINGS: Final[tuple[tuple[type[IsthmusError], str, str], ...]] = (
    (
        TailFailed,
        "takes frames, but its tail does not run",
        "look again in some seconds, in which a Triton that died is brought back; if it stays away, read its log",
    ),
    (RateLimited, "holds this device up", "wait a moment, or raise `limits` in the cluster's file"),
    (
        Overloaded,
        "has no replica with room for a frame",
        "see that its replicas run (`serve status`), and raise `max` for the point if they are all busy",
    ),
    (
        DeadlineExceeded,
        "does not answer in time",
        "see whether Triton hangs or the point is overloaded (`isthmus top`), and give a longer --timeout if it is far",
    ),
    (
        WrongBundle,
        "does not serve the bundle that the cluster names",
        "wait for an update to end; if it does not, read the log of the point's replicas",
    ),
    (UnknownPoint, "is served by no application", "see that Serve deployed it: `serve status`"),
    (UnknownOption, "does not know the bundle's own option", "see that all nodes have the same bundle"),
    (Unauthorized, "lets no stream in", "see the check 'token'"),
    (Forbidden, "lets no stream in", "see the check 'token'"),
    (
        ClusterUnreachable,
        "takes no stream, while HTTP is answered",
        "see that what stands before the cluster lets WebSockets through, and that the point's replicas run",
    ),
    (BundleError, "cannot be asked, since the device's half does not run here", "make the bundle again"),
)
"""The nearest class first: a device that is held up is a kind of overload."""


def meaning(error: IsthmusError) -> tuple[str, str]:
    """Give what a point does, with the error's own words, and how to mend it."""
    for kind, words, mend in _MEANINGS:
        if isinstance(error, kind):
            return f"{words} ({error.code}): {error.message}", mend
    return f"does not answer ({error.code}): {error.message}", error.mend
