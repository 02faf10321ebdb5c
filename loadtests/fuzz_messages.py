"""Messages under the fuzzer: what unpacks must come back the same from its own bytes."""

from pathlib import Path
from typing import Final

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

from loadtests.fuzz_target import ACCEPTED, Target, TreeForm
from wire.errors import WireError
from wire.ids import BundleDigest, DeviceId, OptionId, PointName
from wire.messages import Frame, GoAway, Hello, LoadSignal, Message, Reject, Result, Timings, Welcome, pack, unpack

TREE: Final = TreeForm(
    load=lambda data: msgpack.unpackb(data, raw=False, strict_map_key=False),
    dump=lambda value: msgpack.packb(value, unicode_errors="surrogatepass"),
)


def messages(_folder: Path) -> Target:
    """Make the target: any bytes as one message."""
    return Target(run=_run, seeds=tuple(pack(message) for message in _valid()), tree=TREE)


def _run(data: bytes) -> str:
    try:
        message = unpack(data)
    except WireError as error:
        return error.code
    assert unpack(pack(message)) == message, "a message changed on its way through its own bytes"
    return ACCEPTED


def _valid() -> tuple[Message, ...]:
    digest = BundleDigest("a" * 64)
    load = LoadSignal(
        point=PointName("middle"), state="ready", service_s=0.01, queue_s=0.002, utilisation=0.5, in_flight=3,
        replicas=1,
    )  # fmt: skip
    timings = Timings(decode_s=0.001, queue_s=0.0, compute_s=0.01, total_s=0.011)
    return (
        Hello(DeviceId("camera-1"), "isthmus-agent 0", digest),
        Welcome("replica-1", digest, load),
        Frame(frame_id=2**63 - 1, option_id=OptionId(5), budget_s=0.1, bitstream=bytes(range(40))),
        Result(
            frame_id=7, option_id=OptionId(0), labels=(1, 0, 2), scores=(0.5, 0.3, 0.2), batch_size=4, timings=timings,
            load=load,
        ),
        Reject(frame_id=None, code="overloaded", message="too much", retryable=True, retry_after_s=0.2, load=load),
        Reject(frame_id=3, code="wire", message="ä", retryable=False, retry_after_s=0.0, load=None),
        GoAway("the replica stops", 5.0),
    )  # fmt: skip
