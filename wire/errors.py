"""The one error tree of Isthmus: what can go wrong, whether a retry can help, and how to mend it.

    IsthmusError
    ├── WireError                what a peer sent cannot be used
    │   ├── MessageTooLarge      a length is over its limit
    │   ├── MalformedMessage     not msgpack, an unknown field, a wrong type, a value out of range
    │   ├── UnsupportedVersion   the peer speaks another protocol version
    │   └── BadBitstream         header, checksum or symbols of a bitstream are wrong
    │       ├── CorruptBitstream     bytes changed on the way
    │       └── TruncatedBitstream   bytes are missing
    ├── RequestError             understood, but not to be had
    │   ├── UnknownPoint         the cluster serves no such partition point
    │   ├── UnknownOption        the point serves no such option
    │   ├── LookMissing          a refinement of a frame whose look before is not here
    │   ├── WrongBundle          the two sides hold different bundles
    │   ├── BadPicture           a picture that does not decode
    │   ├── DeadlineExceeded     too late to be of use
    │   ├── Overloaded           the replica holds all the frames that it may
    │   │   └── RateLimited          one device asks for more than a device may
    │   ├── Unauthorized         no token, or one that is not good (any more)
    │   ├── Forbidden            a good token that does not allow this
    │   └── TailFailed           the tail could not be run
    ├── BundleError              a bundle on disk cannot be used
    ├── SourceError              a frame source cannot be opened or read
    ├── ClusterUnreachable       nothing answers at the address given
    ├── PortInUse                an address to listen on is taken
    ├── TritonUnavailable        no Triton for this platform, or it does not start
    ├── BackboneError            a backbone is unknown or cannot be cut
    ├── CheckpointError          weights are missing or do not fit
    ├── DataError                a folder of pictures cannot be used
    └── SettingError             an option or a setting has a value that makes no sense

Owns the errors and nothing else; imports nothing of Isthmus.
"""

from typing import ClassVar, Final


class IsthmusError(Exception):
    """Any error that Isthmus raises on purpose; ``mend`` says what the reader can do about it."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message} ({self.mend})" if self.mend else self.message


class WireError(IsthmusError):
    """What a peer sent cannot be used."""

    code = "wire"
    http_status = 400
    exit_code = 10


class MessageTooLarge(WireError):
    """A length is over its limit."""

    code = "message_too_large"
    http_status = 413


class MalformedMessage(WireError):
    """Not msgpack, an unknown field, a wrong type, or a value out of range."""

    code = "malformed_message"


class UnsupportedVersion(WireError):
    """The peer speaks another protocol version."""

    code = "unsupported_version"
    http_status = 426
    exit_code = 11


class BadBitstream(WireError):
    """Header, checksum or symbols of a bitstream are wrong."""

    code = "bad_bitstream"


class CorruptBitstream(BadBitstream):
    """Bytes changed on the way; the sender may send the frame again."""

    code = "corrupt_bitstream"
    retryable = True


class TruncatedBitstream(BadBitstream):
    """Bytes are missing at the end; the sender may send the frame again."""

    code = "truncated_bitstream"
    retryable = True


class RequestError(IsthmusError):
    """Understood, but not to be had."""

    code = "request"
    http_status = 400
    exit_code = 12


class UnknownPoint(RequestError):
    """The cluster serves no such partition point."""

    code = "unknown_point"
    http_status = 404


class UnknownOption(RequestError):
    """The point serves no such option."""

    code = "unknown_option"
    http_status = 404


class LookMissing(RequestError):
    """A refinement of a frame came where the look before it never did, or out of turn."""

    code = "look_missing"
    http_status = 409


class WrongBundle(RequestError):
    """The two sides hold different bundles."""

    code = "wrong_bundle"
    http_status = 409
    exit_code = 13


class BadPicture(RequestError):
    """A picture that does not decode, or is too large to try."""

    code = "bad_picture"
    http_status = 422


class DeadlineExceeded(RequestError):
    """Too late to be of use."""

    code = "deadline_exceeded"
    http_status = 504


class Overloaded(RequestError):
    """The replica holds all the frames that it may."""

    code = "overloaded"
    retryable = True
    http_status = 503


class RateLimited(Overloaded):
    """One device asks for more than a device may: frames, bytes or connections."""

    code = "rate_limited"
    http_status = 429


class Unauthorized(RequestError):
    """No token, or one that is not good: forged, expired, revoked."""

    code = "unauthorized"
    http_status = 401
    exit_code = 14


class Forbidden(RequestError):
    """A good token that does not allow this: it is another device's, or no operator's."""

    code = "forbidden"
    http_status = 403
    exit_code = 15


class TailFailed(RequestError):
    """The tail could not be run."""

    code = "tail_failed"
    retryable = True
    http_status = 502


class BundleError(IsthmusError):
    """A bundle on disk is missing, incomplete, changed, or of another schema."""

    code = "bundle"
    exit_code = 20


class SourceError(IsthmusError):
    """A frame source cannot be opened or read."""

    code = "source"
    exit_code = 21


class ClusterUnreachable(IsthmusError):
    """Nothing answers at the address given."""

    code = "cluster_unreachable"
    retryable = True
    http_status = 503
    exit_code = 22


class PortInUse(IsthmusError):
    """An address to listen on is taken."""

    code = "port_in_use"
    exit_code = 23


class TritonUnavailable(IsthmusError):
    """No Triton for this platform, or it does not start."""

    code = "triton_unavailable"
    http_status = 503
    exit_code = 24


class BackboneError(IsthmusError):
    """A backbone is unknown or cannot be cut."""

    code = "backbone"
    exit_code = 25


class CheckpointError(IsthmusError):
    """Weights are missing or do not fit."""

    code = "checkpoint"
    exit_code = 26


class DataError(IsthmusError):
    """A folder of pictures cannot be used."""

    code = "data"
    exit_code = 27


class SettingError(IsthmusError):
    """An option or a setting has a value that makes no sense."""

    code = "setting"
    exit_code = 2


def _tree(root: type[IsthmusError]) -> list[type[IsthmusError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


ERRORS_BY_CODE: Final[dict[str, type[IsthmusError]]] = {error.code: error for error in _tree(IsthmusError)}
"""Every error of the tree by the code that travels in a ``Reject`` or an HTTP body."""


def error_class(code: str) -> type[IsthmusError]:
    """Give the error that a code names; ``RequestError`` for a code that a newer peer may know."""
    return ERRORS_BY_CODE.get(code, RequestError)
