import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.bitstream import HEADER_BYTES, MAX_LOOKS, Coder, Header, peek, unwrap, wrap
from wire.errors import (
    BadBitstream,
    CorruptBitstream,
    LookMissing,
    TruncatedBitstream,
    UnknownOption,
    UnsupportedVersion,
    WireError,
)
from wire.ids import MAX_OPTION_ID

bounded = settings(derandomize=True, deadline=None, max_examples=100)

HEADER = Header(Coder.HUFFMAN, 258)
BODY = bytes.fromhex("5bbd66dc6d774bb8")
STREAM = wrap(HEADER, BODY)

headers = st.builds(
    Header,
    st.sampled_from(Coder),
    st.integers(0, MAX_OPTION_ID),
    st.integers(0, MAX_LOOKS - 1),
)


def forged(body=b"", *, magic=0xB7, version=3, coder=0, option_id=258, look=0):
    """A bitstream whose checksum holds, whatever else it says."""
    fields = struct.pack("<BBH", magic, version << 4 | coder, look << 14 | option_id)
    return fields + struct.pack("<I", zlib.crc32(fields + body)) + body


@bounded
@given(headers, st.binary(max_size=40))
def test_header_and_body_survive_the_way_there_and_back(header, body):
    stream = wrap(header, body)
    assert peek(stream) == header
    assert len(stream) == HEADER_BYTES + len(body)
    for form in (stream, bytearray(stream), memoryview(stream)):
        assert unwrap(form, header) == body


def test_a_body_may_be_any_bytes_and_comes_back_where_it_lies():
    assert {wrap(HEADER, form) for form in (BODY, bytearray(BODY), memoryview(BODY))} == {STREAM}
    assert unwrap(STREAM, HEADER).obj is STREAM


def test_the_header_bytes_stay_what_they_are():
    assert STREAM.hex() == "b7300201f2bac4d55bbd66dc6d774bb8"
    assert STREAM[:4] == bytes([0xB7, 0x30, 2, 1])
    assert wrap(Header(Coder.JPEG, 7), b"\xff\xd8").hex() == "b7310700758cb7acffd8"
    assert wrap(Header(Coder.RANS, 258, 3), b"")[:4] == bytes([0xB7, 0x32, 2, 3 << 6 | 1])
    assert forged(BODY) == STREAM


def test_the_numbers_of_the_coders_stay_what_they_are():
    assert {coder.name: coder.value for coder in Coder} == {
        "HUFFMAN": 0, "JPEG": 1, "RANS": 2, "RAW": 3, "FLOAT32": 4, "PNG": 5, "WEBP": 6,
    }  # fmt: skip


def test_a_flip_of_any_single_bit_is_detected():
    for bit in range(len(STREAM) * 8):
        flipped = bytearray(STREAM)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptBitstream):
            unwrap(flipped, HEADER)
        with pytest.raises(CorruptBitstream):
            peek(flipped)


def test_a_stream_cut_anywhere_is_a_bad_bitstream():
    for kept in range(len(STREAM)):
        with pytest.raises(TruncatedBitstream if kept < HEADER_BYTES else CorruptBitstream):
            unwrap(STREAM[:kept], HEADER)


@settings(bounded, max_examples=300)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_bad_bitstream(data):
    with pytest.raises(BadBitstream):
        unwrap(data, HEADER)


@bounded
@given(st.binary(min_size=4, max_size=4), st.binary(max_size=30))
def test_a_random_header_under_a_good_checksum_is_read_or_refused(fields, body):
    data = fields + struct.pack("<I", zlib.crc32(fields + body)) + body
    try:
        header = peek(b"\xb7" + data[1:])
    except WireError:
        return
    assert header.coder in Coder


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (forged(magic=0xB8), CorruptBitstream),
        (forged(version=2), UnsupportedVersion),
        (forged(version=4), UnsupportedVersion),
        (forged(version=0), UnsupportedVersion),
        (forged(version=2)[:-1] + b"\x00", CorruptBitstream),
        (forged(coder=7), CorruptBitstream),
        (forged(coder=15), CorruptBitstream),
        (forged(coder=1), CorruptBitstream),
        (forged(option_id=257), UnknownOption),
        (forged(option_id=257, look=1), UnknownOption),
        (forged(look=1), LookMissing),
        (forged(look=3), LookMissing),
        (forged(look=1, coder=1), LookMissing),
    ],
)
def test_a_stream_that_is_not_the_expected_one_is_refused_by_its_kind(data, error):
    with pytest.raises(error):
        unwrap(data, HEADER)


def test_a_stream_of_another_coder_is_refused_with_both():
    with pytest.raises(CorruptBitstream, match="HUFFMAN, and the bitstream JPEG"):
        unwrap(wrap(Header(Coder.JPEG, 258), BODY), HEADER)


def test_a_stream_of_another_look_is_refused_with_both_and_a_way_to_mend_it():
    with pytest.raises(LookMissing, match="is look 3 of its frame, and look 2 is due") as caught:
        unwrap(wrap(Header(Coder.RANS, 258, 2), BODY), Header(Coder.RANS, 258, 1))
    assert caught.value.mend


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (Header(Coder.RAW, MAX_OPTION_ID + 1), "cannot have the option id 16384"),
        (Header(Coder.RAW, -1), "cannot have the option id -1"),
        (Header(Coder.RAW, 0, MAX_LOOKS), "cannot be look 4"),
        (Header(Coder.RAW, 0, -1), "cannot be look -1"),
    ],
)
def test_what_no_header_can_hold_is_our_own_fault(header, fault):
    with pytest.raises(ValueError, match=fault):
        wrap(header, b"")
