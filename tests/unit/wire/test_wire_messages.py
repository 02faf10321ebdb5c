import contextlib
import dataclasses
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.errors import MalformedMessage, MessageTooLarge, UnsupportedVersion, WireError
from wire.ids import MAX_OPTION_ID
from wire.messages import (
    MAX_BITSTREAM_BYTES,
    MAX_MESSAGE_BYTES,
    Frame,
    GoAway,
    Hello,
    LoadSignal,
    Reject,
    Result,
    Timings,
    Welcome,
    pack,
    unpack,
)

bounded = settings(derandomize=True, deadline=None, max_examples=100)

DIGEST = "0123456789abcdef" * 4
LOAD = LoadSignal(
    point="features.5.0",
    state="ready",
    service_s=0.012,
    queue_s=0.0,
    utilisation=0.5,
    in_flight=3,
    replicas=2,
    node_utilisation=0.75,
    cold_start_s=0.0,
    triton_queue_s=0.001,
    triton_compute_s=0.008,
)
FRAME = Frame(frame_id=9, option_id=3, budget_s=0.2, bitstream=b"\xb7body")
RESULT = Result(
    frame_id=2**63 - 1,
    option_id=MAX_OPTION_ID,
    labels=(7, 1),
    scores=(0.75, 0.125),
    batch_size=4,
    timings=Timings(decode_s=0.001, queue_s=0.0, compute_s=0.01, total_s=0.011),
    load=LOAD,
)
REJECT = Reject(frame_id=None, code="overloaded", message="busy", retryable=True, retry_after_s=0.5, load=LOAD)
EVERY_MESSAGE = [
    Hello("pi-7", "isthmus 0.1", DIGEST),
    Welcome("replica-1", DIGEST, LOAD),
    FRAME,
    RESULT,
    REJECT,
    dataclasses.replace(REJECT, frame_id=0, load=None),
    GoAway("draining", 5.0),
]

seconds = st.floats(0, 3600)
counts = st.integers(0, 2**31 - 1)
texts = st.text(max_size=64)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
frame_ids = st.integers(0, 2**63 - 1)
option_ids = st.integers(0, MAX_OPTION_ID)
loads = st.builds(
    LoadSignal,
    point=st.text(max_size=128),
    state=st.sampled_from(["ready", "starting", "draining", "cold"]),
    service_s=seconds,
    queue_s=seconds,
    utilisation=st.floats(0, 1),
    in_flight=counts,
    replicas=counts,
    node_utilisation=st.floats(0, 1),
    cold_start_s=seconds,
    triton_queue_s=seconds,
    triton_compute_s=seconds,
)
messages = st.one_of(
    st.builds(Hello, texts, texts, digests),
    st.builds(Welcome, texts, digests, loads),
    st.builds(Frame, frame_id=frame_ids, option_id=option_ids, budget_s=seconds, bitstream=st.binary(max_size=500)),
    st.builds(
        Result,
        frame_id=frame_ids,
        option_id=option_ids,
        labels=st.lists(counts, max_size=20).map(tuple),
        scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20).map(tuple),
        batch_size=st.integers(1, 65535),
        timings=st.builds(Timings, decode_s=seconds, queue_s=seconds, compute_s=seconds, total_s=seconds),
        load=loads,
    ),
    st.builds(
        Reject,
        frame_id=st.none() | frame_ids,
        code=texts,
        message=st.text(max_size=1024),
        retryable=st.booleans(),
        retry_after_s=seconds,
        load=st.none() | loads,
    ),
    st.builds(GoAway, st.text(max_size=256), seconds),
)


def plain(message):
    return msgpack.unpackb(pack(message))


def repacked(message, /, **fields):
    return msgpack.packb({**plain(message), **fields})


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_every_message_survives_the_way_there_and_back(message):
    data = pack(message)
    assert unpack(data) == unpack(bytearray(data)) == unpack(memoryview(data)) == message


@bounded
@given(messages)
def test_any_message_within_its_limits_survives_the_way_there_and_back(message):
    assert unpack(pack(message)) == message


def test_the_bytes_of_a_message_stay_what_they_are():
    assert pack(GoAway("bye", 0.5)).hex() == (
        "84a17601a474797065a7676f5f61776179a6726561736f6ea3627965a767726163655f73cb3fe0000000000000"
    )


def test_the_largest_result_and_the_largest_frame_fit():
    wide = dataclasses.replace(RESULT, labels=(2**31 - 1,) * 1000, scores=(math.pi,) * 1000)
    assert unpack(pack(wide)) == wide
    full = dataclasses.replace(FRAME, bitstream=b"x" * MAX_BITSTREAM_BYTES)
    assert unpack(pack(full)) == full


def test_a_message_over_the_limit_is_neither_packed_nor_unpacked():
    with pytest.raises(MessageTooLarge):
        pack(dataclasses.replace(FRAME, bitstream=b"x" * MAX_MESSAGE_BYTES))
    with pytest.raises(MessageTooLarge):
        unpack(b"\x80" * (MAX_MESSAGE_BYTES + 1))


def test_a_field_that_msgpack_cannot_carry_is_not_packed():
    with pytest.raises(MalformedMessage, match="frame cannot be packed"):
        pack(dataclasses.replace(FRAME, budget_s=object()))
    with pytest.raises(MalformedMessage, match="cannot be packed"):
        pack(GoAway("\ud800", 0.0))


@pytest.mark.parametrize("version", [0, 2, 2**64 - 1])
def test_another_version_is_told_apart_before_anything_else(version):
    for data in (msgpack.packb({"v": version}), repacked(FRAME, v=version, type="new", extra=[])):
        with pytest.raises(UnsupportedVersion, match=rf"version {version} .*version 1 \(upgrade the older"):
            unpack(data)


@pytest.mark.parametrize("value", [None, True, "1", 1.0, []])
def test_a_version_that_is_no_integer_is_malformed(value):
    with pytest.raises(MalformedMessage, match=r"message\.v"):
        unpack(repacked(FRAME, v=value))


@pytest.mark.parametrize("value", [None, "hi", 1, ["frame"], {"a": 1}, b"frame"])
def test_an_unknown_type_is_malformed(value):
    with pytest.raises(MalformedMessage, match=r"message\.type must be one of hello"):
        unpack(repacked(FRAME, type=value))


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_no_field_of_any_message_may_be_missing_and_none_may_be_added(message):
    fields = plain(message)
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(MalformedMessage, match=name):
            unpack(msgpack.packb(rest))
    with pytest.raises(MalformedMessage, match="extra is an unknown field"):
        unpack(msgpack.packb({**fields, "extra": 1}))


@pytest.mark.parametrize(
    ("message", "fields", "path"),
    [
        (FRAME, {"frame_id": True}, "frame.frame_id"),
        (FRAME, {"frame_id": -1}, "frame.frame_id"),
        (FRAME, {"frame_id": 2**63}, "frame.frame_id"),
        (FRAME, {"option_id": MAX_OPTION_ID + 1}, "frame.option_id"),
        (FRAME, {"budget_s": math.nan}, "frame.budget_s"),
        (FRAME, {"budget_s": 3600.5}, "frame.budget_s"),
        (FRAME, {"bitstream": "text"}, "frame.bitstream"),
        (RESULT, {"labels": [1, True]}, "result.labels[1]"),
        (RESULT, {"scores": [0.5, math.inf]}, "result.scores[1]"),
        (RESULT, {"batch_size": 0}, "result.batch_size"),
        (RESULT, {"timings": {**plain(RESULT)["timings"], "queue_s": "0"}}, "result.timings.queue_s"),
        (RESULT, {"load": {**plain(RESULT)["load"], "state": "gone"}}, "result.load.state"),
        (RESULT, {"load": None}, "result.load"),
        (REJECT, {"retryable": 1}, "reject.retryable"),
        (EVERY_MESSAGE[0], {"bundle": "A" * 64}, "hello.bundle"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(message, fields, path):
    with pytest.raises(MalformedMessage) as caught:
        unpack(repacked(message, **fields))
    assert caught.value.message.startswith(f"{path} ")


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (EVERY_MESSAGE[0], {"device_id": "x" * 65}),
        (EVERY_MESSAGE[-1], {"reason": "é" * 257}),
        (REJECT, {"message": "x" * 1025}),
    ],
)
def test_a_field_over_its_length_is_too_large(message, fields):
    with pytest.raises(MessageTooLarge):
        unpack(repacked(message, **fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x01",
        msgpack.packb([1]),
        pack(FRAME)[:-1],
        pack(FRAME) + b"\x00",
        repacked(FRAME, budget_s=msgpack.ExtType(5, b"")),
        repacked(FRAME, budget_s=msgpack.ExtType(5, b"abcd")),
        repacked(FRAME, budget_s=msgpack.Timestamp(1, 1)),
        repacked(FRAME, bitstream=b"x" * (MAX_BITSTREAM_BYTES + 1)),
        repacked(REJECT, message="x" * 5000),
        repacked(RESULT, labels=[0] * 1001),
        msgpack.packb({"v": 1, **{str(key): 0 for key in range(20)}}),
        msgpack.packb({1: 1}),
        b"\x81\x90\x01",
        b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 1_000_000,
        b"\x81\xa1a" * 300_000,
        b"\xdc\x03\xe8" * 300_000,
        b"\xdc\x03\xe8" + b"\x80" * 1000,
    ],
    ids=lambda data: f"{data[:8].hex()}-{len(data)}",
)
def test_what_is_not_msgpack_as_agreed_is_malformed(data):
    with pytest.raises(MalformedMessage):
        unpack(data)


def test_a_memoryview_with_gaps_is_malformed():
    with pytest.raises(MalformedMessage):
        unpack(memoryview(pack(FRAME) * 2)[::2])


@settings(bounded, max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_a_wire_error(data):
    with contextlib.suppress(WireError):
        unpack(data)


@settings(bounded, max_examples=300)
@given(st.sampled_from(EVERY_MESSAGE), st.data())
def test_a_damaged_message_decodes_or_raises_a_wire_error(message, data):
    damaged = bytearray(pack(message))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        unpack(damaged[: data.draw(st.integers(0, len(damaged)))])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(bounded, max_examples=300)
@given(st.sampled_from(EVERY_MESSAGE), values, st.data())
def test_any_value_in_any_field_decodes_or_raises_a_wire_error(message, value, data):
    fields = plain(message)
    fields[data.draw(st.sampled_from(sorted(fields)))] = value
    with contextlib.suppress(WireError):
        unpack(msgpack.packb(fields))
