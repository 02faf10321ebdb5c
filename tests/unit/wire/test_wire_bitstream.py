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

HEADER = Header(Coder.HUFFMAN, 258, (3, 2, 4))
BODY = bytes.fromhex("5bbd66dc6d774bb8")
STREAM = wrap(HEADER, BODY)

headers = st.builds(
    Header,
    st.sampled_from(Coder),
    st.integers(0, 65535),
    st.tuples(st.integers(1, 65535), st.integers(1, 256), st.integers(1, 256))
    | st.tuples(st.integers(1, 1024), st.integers(1, 2048), st.integers(1, 2048)),
)


def forged(body=b"", *, magic=0xB7, version=1, coder=0, option_id=258, channels=3, height=2, width=4):
    """A bitstream whose checksum holds, whatever else it says."""
    fields = struct.pack("<BBHHBB", magic, version << 4 | coder, option_id, channels, height - 1, width - 1)
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
    assert STREAM.hex() == "b710020103000103cf5f6ff05bbd66dc6d774bb8"
    assert STREAM[:8] == bytes([0xB7, 0x10, 2, 1, 3, 0, 1, 3])
    assert wrap(Header(Coder.JPEG, 7, (3, 224, 160)), b"\xff\xd8").hex() == "b71107000300df9f25241e2bffd8"
    assert forged(BODY) == STREAM


def test_the_header_bytes_of_a_wide_shape_stay_what_they_are():
    stream = wrap(Header(Coder.PNG, 7, (3, 260, 300)), b"")
    assert stream[:8].hex() == "b71d070002" + (259 << 2 | 299 << 13).to_bytes(3, "little").hex()
    assert [wrap(Header(Coder.RAW, 1, shape), b"")[4:8].hex() for shape in ((1024, 2048, 2048), (1, 1, 257))] == [
        "ffffffff",
        "00000020",
    ]


def test_a_small_shape_in_the_way_of_a_wide_one_is_refused():
    fields = bytes([0xB7, 0x1B, 2, 1]) + (2 | 1 << 10 | 255 << 21).to_bytes(4, "little")
    with pytest.raises(CorruptBitstream, match="small shape"):
        peek(fields + struct.pack("<I", zlib.crc32(fields)))


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
@given(st.binary(min_size=8, max_size=8), st.binary(max_size=30))
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
        (forged(version=0), UnsupportedVersion),
        (forged(version=2)[:-1] + b"\x00", CorruptBitstream),
        (forged(coder=7), CorruptBitstream),
        (forged(coder=15), CorruptBitstream),
        (forged(coder=1), CorruptBitstream),
        (forged(channels=0), CorruptBitstream),
        (forged(channels=65535, height=256, width=256), CorruptBitstream),
        (forged(height=4, width=2), CorruptBitstream),
        (forged(option_id=257), UnknownOption),
    ],
)
def test_a_stream_that_is_not_the_expected_one_is_refused_by_its_kind(data, error):
    with pytest.raises(error):
        unwrap(data, HEADER)


def test_a_stream_of_another_coder_or_shape_is_refused_with_both():
    with pytest.raises(CorruptBitstream, match=r"HUFFMAN \(3, 2, 4\), and the bitstream JPEG \(3, 2, 4\)"):
        unwrap(wrap(Header(Coder.JPEG, 258, (3, 2, 4)), BODY), HEADER)


@pytest.mark.parametrize(
    "header",
    [
        Header(Coder.RAW, 1, (0, 1, 1)),
        Header(Coder.RAW, 1, (65536, 1, 1)),
        Header(Coder.RAW, 1, (1, 2049, 1)),
        Header(Coder.RAW, 1, (1, 1, 2049)),
        Header(Coder.RAW, 1, (1025, 257, 1)),
        Header(Coder.RAW, 1, (1, 0, 1)),
        Header(Coder.RAW, 65536, (1, 1, 1)),
        Header(Coder.RAW, -1, (1, 1, 1)),
    ],
)
def test_what_no_header_can_hold_is_our_own_fault(header):
    with pytest.raises(ValueError, match="a bitstream cannot have the"):
        wrap(header, b"")
