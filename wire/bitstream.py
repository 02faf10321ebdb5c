"""The bitstream of one frame: a header of 12 bytes, then what the coder of the option made of it.

    byte 0      magic 0xB7
    byte 1      version << 4 | wide << 3 | coder
    bytes 2-3   option id
    bytes 4-7   the shape, as one number
    bytes 8-11  CRC-32 of bytes 0-7 and the body

All little-endian. A shape is 16 bits of channels, 8 of height - 1 and 8 of width - 1, the lowest first; where a side is
over 256 the bit ``wide`` is set, and it is 10 bits of channels - 1, 11 of height - 1 and 11 of width - 1. Owns the
header and the checksum; the bodies are the codings' own.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wire.errors import CorruptBitstream, TruncatedBitstream, UnknownOption, UnsupportedVersion
from wire.ids import MAX_OPTION_ID, OptionId

BITSTREAM_MAGIC: Final = 0xB7
BITSTREAM_VERSION: Final = 1
HEADER_BYTES: Final = 12
MAX_CHANNELS: Final = 2**16 - 1
NARROW_SIDE: Final = 256
WIDE_CHANNELS: Final = 1024
"""The most channels of a shape with a side over ``NARROW_SIDE``."""
MAX_SIDE: Final = 2048

_WIDE: Final = 0x8
_CODER: Final = 0x7
_FIELDS = struct.Struct("<BBHI")
_CHECKSUM = struct.Struct("<I")

Buffer = bytes | bytearray | memoryview


class Coder(IntEnum):
    """How the body of a bitstream is coded; three bits of the header."""

    HUFFMAN = 0
    JPEG = 1
    RANS = 2
    RAW = 3
    FLOAT32 = 4
    PNG = 5
    WEBP = 6


@dataclass(frozen=True, slots=True)
class Header:
    """What a bitstream says of itself; ``shape`` is (channels, height, width)."""

    coder: Coder
    option_id: OptionId
    shape: tuple[int, int, int]


def can_hold(shape: tuple[int, int, int]) -> bool:
    """Tell whether a header can say a shape (channels, height, width)."""
    channels, height, width = shape
    side = max(height, width)
    most_channels = MAX_CHANNELS if side <= NARROW_SIDE else WIDE_CHANNELS
    return min(shape) >= 1 and side <= MAX_SIDE and channels <= most_channels


def wrap(header: Header, body: Buffer) -> bytes:
    """Put header and checksum before a body of bytes.

    Raises ValueError for a header that 12 bytes cannot hold.
    """
    if not can_hold(header.shape):
        raise ValueError(f"a bitstream cannot have the shape {header.shape}")
    if not 0 <= header.option_id <= MAX_OPTION_ID:
        raise ValueError(f"a bitstream cannot have the option id {header.option_id}")
    wide, shape = _packed(header.shape)
    fields = _FIELDS.pack(BITSTREAM_MAGIC, BITSTREAM_VERSION << 4 | wide | header.coder, header.option_id, shape)
    return b"".join((fields, _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(fields))), body))


def unwrap(data: Buffer, expected: Header) -> memoryview:
    """Give the body of a bitstream that must have the header ``expected``; the body itself is not looked into.

    Raises:
        TruncatedBitstream: shorter than a header.
        CorruptBitstream: magic, checksum, coder or shape are wrong.
        UnsupportedVersion: a whole bitstream of another version.
        UnknownOption: a whole bitstream of another option.

    """
    header = peek(data)
    if header.option_id != expected.option_id:
        raise UnknownOption(f"the bitstream is of option {header.option_id}, not {expected.option_id}")
    if header != expected:
        raise CorruptBitstream(
            f"option {expected.option_id} is {expected.coder.name} {expected.shape}, "
            f"and the bitstream {header.coder.name} {header.shape}"
        )
    return memoryview(data)[HEADER_BYTES:]


def peek(data: Buffer) -> Header:
    """Read the header and check the whole bitstream against its checksum.

    Raises:
        TruncatedBitstream: shorter than a header.
        CorruptBitstream: magic, checksum, coder or shape are wrong.
        UnsupportedVersion: a whole bitstream of another version.

    """
    if len(data) < HEADER_BYTES:
        raise TruncatedBitstream(f"a bitstream has a header of {HEADER_BYTES} bytes, and this is {len(data)} long")
    magic, kind, option_id, shape = _FIELDS.unpack_from(data)
    if magic != BITSTREAM_MAGIC:
        raise CorruptBitstream(f"a bitstream begins with 0x{BITSTREAM_MAGIC:02x}, not 0x{magic:02x}")
    # Before the version is believed: a flipped bit must not send anyone to upgrade.
    if _checksum(data) != _CHECKSUM.unpack_from(data, _FIELDS.size)[0]:
        raise CorruptBitstream("the checksum of the bitstream does not hold")
    version, wide, coder = kind >> 4, kind & _WIDE, kind & _CODER
    if version != BITSTREAM_VERSION:
        raise UnsupportedVersion(
            f"the bitstream has version {version} and this side reads version {BITSTREAM_VERSION}",
            mend="upgrade the older side",
        )
    if coder not in Coder.__members__.values():
        raise CorruptBitstream(f"the bitstream names a coder {coder} that does not exist")
    return Header(Coder(coder), OptionId(option_id), _unpacked(wide, shape))


def _packed(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Give the bit ``wide`` and the number of a shape."""
    channels, height, width = shape
    if max(height, width) <= NARROW_SIDE:
        return 0, channels | (height - 1) << 16 | (width - 1) << 24
    return _WIDE, (channels - 1) | (height - 1) << 10 | (width - 1) << 21


def _unpacked(wide: int, number: int) -> tuple[int, int, int]:
    if not wide:
        channels, height, width = number & 0xFFFF, (number >> 16 & 0xFF) + 1, (number >> 24) + 1
        if channels == 0:
            raise CorruptBitstream("the bitstream has no channels")
        return channels, height, width
    channels, height, width = (number & 0x3FF) + 1, (number >> 10 & 0x7FF) + 1, (number >> 21) + 1
    if max(height, width) <= NARROW_SIDE:
        raise CorruptBitstream("the bitstream says a small shape in the way of a wide one")
    return channels, height, width


def _checksum(data: Buffer) -> int:
    view = memoryview(data)
    return zlib.crc32(view[HEADER_BYTES:], zlib.crc32(view[: _FIELDS.size]))
