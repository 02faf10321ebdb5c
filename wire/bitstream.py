"""The bitstream of one frame: a header of 12 bytes, then entropy-coded symbols or a JPEG picture.

    byte 0      magic 0xB7
    byte 1      version << 4 | coder
    bytes 2-3   option id
    bytes 4-5   channels
    byte 6      height - 1
    byte 7      width - 1
    bytes 8-11  CRC-32 of bytes 0-7 and the body

All little-endian. Owns the header; the codes are ``wire.huffman``'s, and JPEG is not looked into.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wire.errors import CorruptBitstream, TruncatedBitstream, UnknownOption, UnsupportedVersion
from wire.huffman import HuffmanCoder, Symbols
from wire.ids import MAX_OPTION_ID, OptionId

BITSTREAM_MAGIC: Final = 0xB7
BITSTREAM_VERSION: Final = 1
HEADER_BYTES: Final = 12
MAX_CHANNELS: Final = 2**16 - 1
MAX_SIDE: Final = 256

_FIELDS = struct.Struct("<BBHHBB")
_CHECKSUM = struct.Struct("<I")

Shape = tuple[int, int, int]
Buffer = bytes | bytearray | memoryview


class Coder(IntEnum):
    """How the body of a bitstream is coded."""

    HUFFMAN = 0
    JPEG = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What a bitstream says of itself; ``shape`` is (channels, height, width)."""

    coder: Coder
    option_id: OptionId
    shape: Shape


def encode_symbols(option_id: OptionId, symbols: Symbols, coder: HuffmanCoder) -> bytes:
    """Make the bitstream of uint8 symbols (C, H, W); ``coder`` has a table a channel, or one for all.

    Raises ValueError for symbols of another dtype or shape, or outside the alphabet of the coder.
    """
    if symbols.ndim != 3:
        raise ValueError(f"symbols must have shape (C, H, W), not {symbols.shape}")
    channels, height, width = symbols.shape
    _check_tables(coder, channels)
    header = Header(Coder.HUFFMAN, option_id, (channels, height, width))
    return _wrap(header, coder.encode(symbols.reshape(coder.tables, -1)))


def decode_symbols(data: Buffer, *, option_id: OptionId, shape: Shape, coder: HuffmanCoder) -> Symbols:
    """Read the uint8 symbols (C, H, W) of the option that the bundle gives this shape and coder.

    Raises:
        TruncatedBitstream: bytes are missing.
        CorruptBitstream: the checksum, the shape or the codes are wrong.
        UnsupportedVersion: a whole bitstream of another version.
        UnknownOption: a whole bitstream of another option.

    """
    _check_tables(coder, shape[0])
    body = _unwrap(data, Header(Coder.HUFFMAN, option_id, shape))
    channels, height, width = shape
    return coder.decode(body, channels * height * width // coder.tables).reshape(shape)


def wrap_jpeg(option_id: OptionId, shape: Shape, jpeg: bytes) -> bytes:
    """Make the bitstream of a JPEG picture; ``shape`` is (3, height, width).

    Raises ValueError for a shape that the header cannot hold.
    """
    return _wrap(Header(Coder.JPEG, option_id, shape), jpeg)


def unwrap_jpeg(data: Buffer, *, option_id: OptionId, shape: Shape) -> bytes:
    """Give the JPEG picture of a bitstream, unopened: its own header may still say another size.

    Raises what ``decode_symbols`` raises.
    """
    return bytes(_unwrap(data, Header(Coder.JPEG, option_id, shape)))


def peek(data: Buffer) -> Header:
    """Read the header and check the whole bitstream against its checksum.

    Raises:
        TruncatedBitstream: shorter than a header.
        CorruptBitstream: magic, checksum, coder or shape are wrong.
        UnsupportedVersion: a whole bitstream of another version.

    """
    if len(data) < HEADER_BYTES:
        raise TruncatedBitstream(f"a bitstream has a header of {HEADER_BYTES} bytes, and this is {len(data)} long")
    magic, version_and_coder, option_id, channels, height_1, width_1 = _FIELDS.unpack_from(data)
    if magic != BITSTREAM_MAGIC:
        raise CorruptBitstream(f"a bitstream begins with 0x{BITSTREAM_MAGIC:02x}, not 0x{magic:02x}")
    # Before the version is believed: a flipped bit must not send anyone to upgrade.
    if _checksum(data) != _CHECKSUM.unpack_from(data, _FIELDS.size)[0]:
        raise CorruptBitstream("the checksum of the bitstream does not hold")
    version, coder = version_and_coder >> 4, version_and_coder & 0xF
    if version != BITSTREAM_VERSION:
        raise UnsupportedVersion(
            f"the bitstream has version {version} and this side reads version {BITSTREAM_VERSION}",
            mend="upgrade the older side",
        )
    if coder not in Coder.__members__.values():
        raise CorruptBitstream(f"the bitstream names a coder {coder} that does not exist")
    if channels == 0:
        raise CorruptBitstream("the bitstream has no channels")
    return Header(Coder(coder), OptionId(option_id), (channels, height_1 + 1, width_1 + 1))


def _wrap(header: Header, body: bytes) -> bytes:
    channels, height, width = header.shape
    if not (1 <= channels <= MAX_CHANNELS and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"a bitstream cannot have the shape {header.shape}")
    if not 0 <= header.option_id <= MAX_OPTION_ID:
        raise ValueError(f"a bitstream cannot have the option id {header.option_id}")
    version_and_coder = BITSTREAM_VERSION << 4 | header.coder
    fields = _FIELDS.pack(BITSTREAM_MAGIC, version_and_coder, header.option_id, channels, height - 1, width - 1)
    return fields + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(fields))) + body


def _unwrap(data: Buffer, expected: Header) -> memoryview:
    header = peek(data)
    if header.option_id != expected.option_id:
        raise UnknownOption(f"the bitstream is of option {header.option_id}, not {expected.option_id}")
    if header.coder is not expected.coder or header.shape != tuple(expected.shape):
        raise CorruptBitstream(
            f"option {expected.option_id} is {expected.coder.name} {tuple(expected.shape)}, "
            f"and the bitstream {header.coder.name} {header.shape}"
        )
    return memoryview(data)[HEADER_BYTES:]


def _checksum(data: Buffer) -> int:
    view = memoryview(data)
    return zlib.crc32(view[HEADER_BYTES:], zlib.crc32(view[: _FIELDS.size]))


def _check_tables(coder: HuffmanCoder, channels: int) -> None:
    if coder.tables not in (1, channels):
        raise ValueError(f"{coder.tables} coder tables do not fit {channels} channels")
