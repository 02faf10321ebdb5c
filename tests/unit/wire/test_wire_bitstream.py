import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire.bitstream import HEADER_BYTES, Coder, Header, peek, unwrap, wrap
from wire.errors import (
    BadBitstream,
    CorruptBitstream,
    TruncatedBitstream,
    UnknownOption,
    UnsupportedVersion,
    WireError,
)

bounded = settings(derandomize=True, deadline=None, max_examples=100)

HEADER = Header(Coder.HUFFMAN, 258)
BODY = bytes.fromhex("5bbd66dc6d774bb8")
STREAM = wrap(HEADER, BODY)

headers = st.builds(
    Header,
    st.sampled_from(Coder),
    st.integers(0, 65535),
)


def forged(body=b"", *, magic=0xB7, version=2, coder=0, option_id=258):
    """A bitstream whose checksum holds, whatever else it says."""
    fields = struct.pack("<BBH", magic, version << 4 | coder, option_id)
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
    assert STREAM.hex() == "b7200201397e327b5bbd66dc6d774bb8"
    assert STREAM[:4] == bytes([0xB7, 0x20, 2, 1])
    assert wrap(Header(Coder.JPEG, 7), b"\xff\xd8").hex() == "b7210700f71b57ccffd8"
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
        (forged(version=1), UnsupportedVersion),
        (forged(version=0), UnsupportedVersion),
        (forged(version=1)[:-1] + b"\x00", CorruptBitstream),
        (forged(coder=7), CorruptBitstream),
        (forged(coder=15), CorruptBitstream),
        (forged(coder=1), CorruptBitstream),
        (forged(option_id=257), UnknownOption),
    ],
)
def test_a_stream_that_is_not_the_expected_one_is_refused_by_its_kind(data, error):
    with pytest.raises(error):
        unwrap(data, HEADER)


def test_a_stream_of_another_coder_is_refused_with_both():
    with pytest.raises(CorruptBitstream, match="HUFFMAN, and the bitstream JPEG"):
        unwrap(wrap(Header(Coder.JPEG, 258), BODY), HEADER)


@pytest.mark.parametrize("option_id", [65536, -1])
def test_what_no_header_can_hold_is_our_own_fault(option_id):
    with pytest.raises(ValueError, match="a bitstream cannot have the"):
        wrap(Header(Coder.RAW, option_id), b"")
