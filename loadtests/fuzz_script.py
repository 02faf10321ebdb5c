"""What one device does at one point, as bytes that can be changed: a stream of messages, posts beside it, a cut.

An input is a msgpack map: the number of a point, and steps. Steps say a message's fields and a bitstream's body, and
headers and checksums are made for them, so that changed fields come as far as they can; what is no such map is sent as
it is. Owns this form, for the replica in this process and for the cluster behind a socket alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

from loadtests.fuzz_bundle import POINTS, looks
from loadtests.fuzz_messages import TREE
from wire.bitstream import HEADER_BYTES, MAX_LOOKS, Coder, Header, wrap
from wire.bundle import Bundle
from wire.ids import MAX_OPTION_ID, OptionId, PointName
from wire.manifest import Option
from wire.messages import PROTOCOL_VERSION

MAX_STEPS: Final = 24
FRAME_TYPE: Final = "application/msgpack"

EventKind = Literal["bytes", "text", "cut", "wait", "post"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a device does: sends bytes or a text, waits for its answers, is cut off, or posts."""

    kind: EventKind
    data: bytes = b""
    text: str = ""
    """What is sent as text, or a post's content type."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a device does at one point; it opens its stream before the first event."""

    point: PointName
    events: tuple[Event, ...]


def script(data: bytes, bundle: Bundle) -> Script:
    """Read any bytes as a script."""
    try:
        plain = TREE.load(data)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        plain = None
    if not isinstance(plain, dict):
        events = (_hello({}, bundle), Event("bytes", data), Event("wait"), Event("post", data, FRAME_TYPE))
        return Script(POINTS[sum(data[:1]) % len(POINTS)], events)
    number = plain.get("point")
    steps = plain.get("steps")
    listed = [step for step in steps if isinstance(step, list)][:MAX_STEPS] if isinstance(steps, list) else []
    return Script(
        POINTS[number % len(POINTS) if isinstance(number, int) else 0],
        tuple(event for step in listed for event in _events(step, bundle)),
    )


def seeds(bundle: Bundle) -> list[bytes]:
    """Give scripts of all that a device does as it should, and of being cut off in the middle."""
    found = []
    for number, point in enumerate(POINTS):
        frames = [step for option in bundle.options_at(point) for step in _frames(bundle, option)]
        opened: list[list[Any]] = [["hello", {}]]
        found += [{"point": number, "steps": [*opened, *frames, ["wait"]]}]
        found += [{"point": number, "steps": [*opened, *frames[:3], ["cut"]]}]
        found += [{"point": number, "steps": [*opened, frame, ["wait"], frame]} for frame in frames]
        found += [{"point": number, "steps": [["post", "frame", frames[0]]]}]
    picture = looks(bundle, bundle.options_at(POINTS[0])[0])[0][HEADER_BYTES:]
    found += [{"point": 0, "steps": [["post", "image/jpeg", picture]]}]
    found += [{"point": 1, "steps": [["hello", {}], ["text", "hello"]]}, {"point": 2, "steps": [["bytes", b"\x80"]]}]
    return [TREE.dump(plain) for plain in found]


def _frames(bundle: Bundle, option: Option) -> Iterator[list[Any]]:
    for look, bitstream in enumerate(looks(bundle, option)):
        fields = {"option_id": option.id, "frame_id": option.id, "budget_s": 5.0}
        yield ["frame", fields, look, bitstream[HEADER_BYTES:]]


def _events(step: list[Any], bundle: Bundle) -> Iterator[Event]:
    match step:
        case ["hello", dict() as fields]:
            yield _hello(fields, bundle)
        case ["frame", dict() as fields, look, bytes() as body]:
            yield Event("bytes", _frame(fields, look, body, bundle))
        case ["bytes", bytes() as data]:
            yield Event("bytes", data)
        case ["text", str() as text]:
            yield Event("text", text=text.encode("utf-8", "replace").decode())
        case ["cut" | "wait" as kind]:
            yield Event(kind)
        case ["post", "frame", ["frame", dict() as fields, look, bytes() as body]]:
            yield Event("post", _frame(fields, look, body, bundle), FRAME_TYPE)
        case ["post", str() as content_type, bytes() as data]:
            yield Event("post", data, content_type.encode("ascii", "ignore").decode())
        case _:
            yield Event("bytes", TREE.dump(step))


def _hello(fields: dict[Any, Any], bundle: Bundle) -> Event:
    good = {"v": PROTOCOL_VERSION, "type": "hello", "device_id": "d", "agent": "fuzz", "bundle": bundle.digest}
    return Event("bytes", TREE.dump({**good, **fields}))


def _frame(fields: dict[Any, Any], look: Any, body: bytes, bundle: Bundle) -> bytes:
    number = fields.get("option_id")
    option_id = OptionId(number & MAX_OPTION_ID if isinstance(number, int) else 0)
    coders = {option.id: Coder[option.coder.upper()] for option in bundle.manifest.options if option.coder != "none"}
    header = Header(coders.get(option_id, Coder.RAW), option_id, look % MAX_LOOKS if isinstance(look, int) else 0)
    good = {"v": PROTOCOL_VERSION, "type": "frame", "frame_id": 0, "budget_s": 1.0, "bitstream": wrap(header, body)}
    data: bytes = TREE.dump({**good, **fields})
    return data
