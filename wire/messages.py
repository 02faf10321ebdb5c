"""The messages of protocol version 1, and how they become bytes: one msgpack map a message.

Every length has a limit that is checked before memory is taken for it. Owns the messages; does no I/O and
imports no transport.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NoReturn

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

from wire.errors import (
    IsthmusError,
    MalformedMessage,
    MessageTooLarge,
    UnsupportedVersion,
    error_class,
)
from wire.ids import DeviceField, DigestField, OptionField, PointField
from wire.records import Length, Range, from_plain, to_plain

PROTOCOL_VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 2**20
"""Room for a frame of 224×224 pixels as float32 (602,112 bytes), the most that an option of ours sends."""
MAX_BITSTREAM_BYTES: Final = MAX_MESSAGE_BYTES - 4096
MAX_LABELS: Final = 1000
MAX_REJECT_CHARS: Final = 1024

_MAX_MAP_FIELDS = 16
# The greatest message has three maps and two lists; without a limit, a message of 1 MiB of empty maps
# would grow to 64 MiB here.
_MAX_CONTAINERS = 8

Seconds = Annotated[float, Range(0.0, 3600.0)]
Count = Annotated[int, Range(0, 2**31 - 1)]
FrameId = Annotated[int, Range(0, 2**63 - 1)]
ReplicaName = Annotated[str, Length(64)]


LoadState = Literal["ready", "starting", "draining", "cold"]
"""``cold``: the point has no replica now, and gets one when frames come for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSignal:
    """What the cluster publishes about one partition point: of one replica, or of all of them merged.

    A frame that comes now is expected to be answered after ``service_s + queue_s``, and by a point that has no replica
    after ``cold_start_s`` more.
    """

    point: PointField
    state: LoadState
    service_s: Seconds
    """Time that a frame spends decoding and in the tail when it is alone."""
    queue_s: Seconds
    """What a frame that comes now is expected to take longer than that, for what is there before it."""
    utilisation: Annotated[float, Range(0.0, 1.0)]
    """Share of the time that the point's replicas were busy."""
    in_flight: Count
    replicas: Count
    node_utilisation: Annotated[float, Range(0.0, 1.0)] = 0.0
    """Share of the machine's processors that is busy, whoever keeps them so; 0 where it is not known."""
    cold_start_s: Seconds = 0.0
    """Expected time until the point answers at all; 0 when it is ready."""
    triton_queue_s: Seconds = 0.0
    """What a batch of the point waits inside Triton, by Triton's own statistics; 0 where there is none."""
    triton_compute_s: Seconds = 0.0
    """What a batch of the point takes inside Triton once its turn has come."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The device opens: who it is, what it runs, and which bundle it holds."""

    device_id: DeviceField
    agent: Annotated[str, Length(64)]
    bundle: DigestField


@dataclass(frozen=True, slots=True)
class Welcome:
    """The replica answers a ``Hello``."""

    replica_id: ReplicaName
    bundle: DigestField
    load: LoadSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame on its way to the tail."""

    frame_id: FrameId
    option_id: OptionField
    budget_s: Seconds
    """Time left until the deadline when the frame was sent; relative, since the two clocks differ."""
    bitstream: Annotated[bytes, Length(MAX_BITSTREAM_BYTES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time of one frame went on the cluster."""

    decode_s: Seconds
    queue_s: Seconds
    compute_s: Seconds
    total_s: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to one frame: labels and their scores, best first."""

    frame_id: FrameId
    option_id: OptionField
    labels: Annotated[tuple[Count, ...], Length(MAX_LABELS)]
    scores: Annotated[tuple[float, ...], Length(MAX_LABELS)]
    batch_size: Annotated[int, Range(1, 2**16 - 1)]
    timings: Timings
    load: LoadSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A frame, or the connection (``frame_id`` is None), was refused; ``code`` names an error of the tree."""

    frame_id: FrameId | None
    code: Annotated[str, Length(64)]
    message: Annotated[str, Length(MAX_REJECT_CHARS)]
    retryable: bool
    retry_after_s: Seconds
    load: LoadSignal | None


@dataclass(frozen=True, slots=True)
class GoAway:
    """The replica asks the device to connect again elsewhere, within ``grace_s`` seconds."""

    reason: Annotated[str, Length(256)]
    grace_s: Seconds


Message = Hello | Welcome | Frame | Result | Reject | GoAway

_CLASS_BY_TYPE: Final[dict[str, type[Message]]] = {
    "hello": Hello,
    "welcome": Welcome,
    "frame": Frame,
    "result": Result,
    "reject": Reject,
    "go_away": GoAway,
}
_TYPE_BY_CLASS: Final = {cls: name for name, cls in _CLASS_BY_TYPE.items()}


def pack(message: Message) -> bytes:
    """Turn a message into at most ``MAX_MESSAGE_BYTES`` bytes.

    Raises:
        MessageTooLarge: the message would be longer than that.
        MalformedMessage: a field holds what msgpack cannot carry.

    """
    name = _TYPE_BY_CLASS[type(message)]
    try:
        data: bytes = msgpack.packb({"v": PROTOCOL_VERSION, "type": name, **to_plain(message)})
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(f"{name} cannot be packed: {error}") from error
    _check_size(len(data))
    return data


def unpack(data: bytes | bytearray | memoryview) -> Message:
    """Turn the bytes of one message into its record, taking nothing on trust.

    Raises:
        MessageTooLarge: the message or one of its fields is over its length.
        MalformedMessage: not msgpack, or not a message of this protocol.
        UnsupportedVersion: the peer speaks another protocol version.

    """
    _check_size(memoryview(data).nbytes)
    plain = _unpack_map(data)
    version = plain.pop("v", None)
    if type(version) is not int:
        raise MalformedMessage("message.v must be the protocol version")
    if version != PROTOCOL_VERSION:
        raise UnsupportedVersion(
            f"the peer speaks protocol version {version} and this side version {PROTOCOL_VERSION}",
            mend="upgrade the older side",
        )
    name = plain.pop("type", None)
    cls = _CLASS_BY_TYPE.get(name) if type(name) is str else None
    if cls is None:
        raise MalformedMessage(f"message.type must be one of {', '.join(_CLASS_BY_TYPE)}")
    return from_plain(cls, plain, where=name)


def reject_from(
    error: IsthmusError,
    frame_id: int | None,
    *,
    retry_after_s: float = 0.0,
    load: LoadSignal | None = None,
) -> Reject:
    """Say an error to the peer; what it says is cut to ``MAX_REJECT_CHARS``."""
    # Half a surrogate pair (an odd file name, say) in an error must not keep the refusal from being sent.
    message = str(error)[:MAX_REJECT_CHARS].encode("utf-8", "replace").decode()
    return Reject(
        frame_id=frame_id,
        code=error.code,
        message=message,
        retryable=error.retryable,
        retry_after_s=retry_after_s,
        load=load,
    )


def error_from(reject: Reject) -> IsthmusError:
    """Turn a refusal back into its error; a code of a later version becomes a ``RequestError``."""
    return error_class(reject.code)(reject.message)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"the message has {size_bytes} bytes, and may have {MAX_MESSAGE_BYTES}")


def _unpack_map(data: bytes | bytearray | memoryview) -> dict[str, Any]:
    count = _container_counter()
    try:
        plain = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            object_hook=count,
            list_hook=count,
            max_str_len=4 * MAX_REJECT_CHARS,
            max_bin_len=MAX_BITSTREAM_BYTES,
            max_array_len=MAX_LABELS,
            max_map_len=_MAX_MAP_FIELDS,
            max_ext_len=0,
        )
    except (
        ValueError,
        TypeError,
        OverflowError,
        BufferError,
        RecursionError,
        msgpack.UnpackException,
    ) as error:
        reason = str(error) or type(error).__name__
        raise MalformedMessage(f"the message is not msgpack as agreed: {reason}") from error
    if type(plain) is not dict:
        raise MalformedMessage(f"the message must be a map, not {type(plain).__name__}")
    return plain


def _container_counter() -> Callable[[Any], Any]:
    seen = 0

    def count(container: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen > _MAX_CONTAINERS:
            raise MalformedMessage(f"the message has more than {_MAX_CONTAINERS} maps and lists")
        return container

    return count


def _refuse_extension(code: int, _data: bytes) -> NoReturn:
    raise MalformedMessage(f"the message has an extension of type {code}")
