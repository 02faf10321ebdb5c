"""The bitstream of one frame: a header of 12 bytes, then what the coder of the option made of it.

    byte 0      magic 0xB7
    byte 1      version << 4 | coder
    bytes 2-3   option id
    bytes 4-5   channels
    byte 6      height - 1
    byte 7      width - 1
    bytes 8-11  CRC-32 of bytes 0-7 and the body

All little-endian. Owns the header and the checksum; the bodies are the codings' own.
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
MAX_SIDE: Final = 256

_FIELDS = struct.Struct("<BBHHBB")
_CHECKSUM = struct.Struct("<I")

Buffer = bytes | bytearray | memoryview


class Coder(IntEnum):
    """How the body of a bitstream is coded."""

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


def wrap(header: Header, body: Buffer) -> bytes:
    """Put header and checksum before a body of bytes.

    Raises ValueError for a header that 12 bytes cannot hold.
    """
    channels, height, width = header.shape
    if not (1 <= channels <= MAX_CHANNELS and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"a bitstream cannot have the shape {header.shape}")
    if not 0 <= header.option_id <= MAX_OPTION_ID:
        raise ValueError(f"a bitstream cannot have the option id {header.option_id}")
    version_and_coder = BITSTREAM_VERSION << 4 | header.coder
    fields = _FIELDS.pack(BITSTREAM_MAGIC, version_and_coder, header.option_id, channels, height - 1, width - 1)
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


def _checksum(data: Buffer) -> int:
    view = memoryview(data)
    return zlib.crc32(view[HEADER_BYTES:], zlib.crc32(view[: _FIELDS.size]))
