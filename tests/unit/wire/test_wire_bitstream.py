import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.bitstream import (
    HEADER_BYTES,
    Coder,
    Header,
    decode_symbols,
    encode_symbols,
    peek,
    unwrap_jpeg,
    wrap_jpeg,
)
from wire.errors import (
    BadBitstream,
    CorruptBitstream,
    TruncatedBitstream,
    UnknownOption,
    UnsupportedVersion,
    WireError,
)
from wire.huffman import HuffmanCoder

bounded = settings(derandomize=True, deadline=None, max_examples=100)

ONE_TABLE = HuffmanCoder(np.array([[8, 4, 2, 1, 1]]))
THREE_TABLES = HuffmanCoder(np.array([[8, 4, 2, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 9999]]))
SHAPE = (3, 2, 4)
SYMBOLS = (np.arange(24, dtype=np.uint8) % 5).reshape(SHAPE)
STREAM = encode_symbols(258, SYMBOLS, THREE_TABLES)


def forged(body=b"", *, magic=0xB7, version=1, coder=0, option_id=258, channels=3, height=2, width=4):
    """A bitstream whose checksum holds, whatever else it says."""
    fields = struct.pack("<BBHHBB", magic, version << 4 | coder, option_id, channels, height - 1, width - 1)
    return fields + struct.pack("<I", zlib.crc32(fields + body)) + body


def decode(data):
    return decode_symbols(data, option_id=258, shape=SHAPE, coder=THREE_TABLES)


@bounded
@given(st.data(), st.sampled_from([ONE_TABLE, THREE_TABLES]), st.integers(0, 65535))
def test_symbols_survive_the_way_there_and_back(data, coder, option_id):
    channels = 3 if coder.tables == 3 else data.draw(st.integers(1, 5))
    shape = (channels, data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    symbols = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 4)))
    stream = encode_symbols(option_id, symbols, coder)
    assert peek(stream) == Header(Coder.HUFFMAN, option_id, shape)
    for form in (stream, bytearray(stream), memoryview(stream)):
        decoded = decode_symbols(form, option_id=option_id, shape=shape, coder=coder)
        np.testing.assert_array_equal(decoded, symbols)


def test_a_transposed_view_is_coded_like_its_copy():
    view = SYMBOLS.transpose(0, 2, 1)
    assert encode_symbols(1, view, THREE_TABLES) == encode_symbols(1, view.copy(), THREE_TABLES)


def test_the_widest_shape_fits_the_header():
    symbols = np.zeros((1, 256, 256), np.uint8)
    stream = encode_symbols(0, symbols, ONE_TABLE)
    assert peek(stream).shape == (1, 256, 256)
    assert len(stream) == HEADER_BYTES + 256 * 256 // 8


def test_the_header_bytes_stay_what_they_are():
    assert STREAM.hex() == STREAM_HEX
    assert STREAM[:8] == bytes([0xB7, 0x10, 2, 1, 3, 0, 1, 3])
    assert wrap_jpeg(7, (3, 224, 160), b"\xff\xd8").hex() == JPEG_HEX
    assert forged(STREAM[HEADER_BYTES:]) == STREAM


STREAM_HEX = "b710020103000103cf5f6ff05bbd66dc6d774bb8"
JPEG_HEX = "b71107000300df9f25241e2bffd8"


def test_a_jpeg_survives_the_way_there_and_back():
    jpeg = b"\xff\xd8 a picture \xff\xd9"
    stream = wrap_jpeg(9, (3, 224, 224), jpeg)
    assert peek(stream) == Header(Coder.JPEG, 9, (3, 224, 224))
    assert unwrap_jpeg(memoryview(stream), option_id=9, shape=(3, 224, 224)) == jpeg


def test_a_flip_of_any_single_bit_is_detected():
    for bit in range(len(STREAM) * 8):
        flipped = bytearray(STREAM)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptBitstream):
            decode(flipped)
        with pytest.raises(CorruptBitstream):
            peek(flipped)


def test_a_stream_cut_anywhere_is_a_bad_bitstream():
    for kept in range(len(STREAM)):
        with pytest.raises(TruncatedBitstream if kept < HEADER_BYTES else CorruptBitstream):
            decode(STREAM[:kept])


@settings(bounded, max_examples=300)
@given(st.binary(max_size=60))
def test_random_bytes_are_a_bad_bitstream(data):
    with pytest.raises(BadBitstream):
        decode(data)


@settings(bounded, max_examples=300)
@given(st.binary(max_size=30))
def test_a_random_body_under_a_good_checksum_decodes_or_is_a_bad_bitstream(body):
    try:
        symbols = decode(forged(body))
    except BadBitstream:
        return
    assert encode_symbols(258, symbols, THREE_TABLES) == forged(body)


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
        (forged(coder=2), CorruptBitstream),
        (forged(coder=15), CorruptBitstream),
        (forged(coder=1), CorruptBitstream),
        (forged(channels=0), CorruptBitstream),
        (forged(channels=65535, height=256, width=256), CorruptBitstream),
        (forged(height=4, width=2), CorruptBitstream),
        (forged(option_id=257), UnknownOption),
        (forged(), TruncatedBitstream),
        (forged(b"\x00" * 1000), CorruptBitstream),
    ],
)
def test_a_stream_that_is_not_the_expected_one_is_refused_by_its_kind(data, error):
    with pytest.raises(error):
        decode(data)


def test_a_jpeg_is_not_taken_for_symbols_nor_symbols_for_a_jpeg():
    with pytest.raises(CorruptBitstream, match="HUFFMAN"):
        decode(wrap_jpeg(258, SHAPE, b"jpeg"))
    with pytest.raises(CorruptBitstream, match="JPEG"):
        unwrap_jpeg(STREAM, option_id=258, shape=SHAPE)


@pytest.mark.parametrize(
    ("option_id", "symbols", "coder"),
    [
        (1, SYMBOLS[0], ONE_TABLE),
        (1, SYMBOLS.astype(np.int32), ONE_TABLE),
        (1, SYMBOLS + np.uint8(1), ONE_TABLE),
        (1, SYMBOLS[:2], THREE_TABLES),
        (1, np.zeros((1, 257, 1), np.uint8), ONE_TABLE),
        (1, np.zeros((1, 0, 1), np.uint8), ONE_TABLE),
        (65536, SYMBOLS, ONE_TABLE),
        (-1, SYMBOLS, ONE_TABLE),
    ],
)
def test_what_no_bitstream_can_hold_is_our_own_fault(option_id, symbols, coder):
    with pytest.raises(ValueError, match=r"symbol|bitstream|tables"):
        encode_symbols(option_id, symbols, coder)


def test_a_coder_of_another_option_is_our_own_fault():
    with pytest.raises(ValueError, match="3 coder tables do not fit 4 channels"):
        decode_symbols(STREAM, option_id=258, shape=(4, 2, 3), coder=THREE_TABLES)
