"""The bitstream of one frame: a header of 8 bytes, then what the coder of the option made of it.

    byte 0      magic 0xB7
    byte 1      version << 4 | coder
    bytes 2-3   look << 14 | option id
    bytes 4-7   CRC-32 of bytes 0-3 and the body

All little-endian. The shape is not said: both sides have it from the option, and a small frame has no bytes to spare.
Owns the header and the checksum; the bodies are the codings' own.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wire.errors import CorruptBitstream, LookMissing, TruncatedBitstream, UnknownOption, UnsupportedVersion
from wire.ids import MAX_OPTION_ID, OPTION_ID_BITS, OptionId

BITSTREAM_MAGIC: Final = 0xB7
BITSTREAM_VERSION: Final = 3
HEADER_BYTES: Final = 8
MAX_LOOKS: Final = 4
"""How often one frame can be sent: first coarsely, then with what refines it."""

_FIELDS = struct.Struct("<BBH")
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
    """What a bitstream says of itself."""

    coder: Coder
    option_id: OptionId
    look: int = 0
    """0 for a frame's first message, and up to ``MAX_LOOKS`` - 1 for those that refine it."""


def wrap(header: Header, body: Buffer) -> bytes:
    """Put header and checksum before a body of bytes.

    Raises ValueError for an option id or a look that has no place in it.
    """
    if not 0 <= header.option_id <= MAX_OPTION_ID:
        raise ValueError(f"a bitstream cannot have the option id {header.option_id}")
    if not 0 <= header.look < MAX_LOOKS:
        raise ValueError(f"a bitstream cannot be look {header.look} of a frame")
    numbers = header.look << OPTION_ID_BITS | header.option_id
    fields = _FIELDS.pack(BITSTREAM_MAGIC, BITSTREAM_VERSION << 4 | header.coder, numbers)
    return b"".join((fields, _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(fields))), body))


def unwrap(data: Buffer, expected: Header) -> memoryview:
    """Give the body of a bitstream that must have the header ``expected``; the body itself is not looked into.

    Raises:
        TruncatedBitstream: shorter than a header.
        CorruptBitstream: magic, checksum or coder are wrong.
        UnsupportedVersion: a whole bitstream of another version.
        UnknownOption: a whole bitstream of another option.
        LookMissing: a whole bitstream of another look of the frame.

    """
    header = peek(data)
    if header.option_id != expected.option_id:
        raise UnknownOption(f"the bitstream is of option {header.option_id}, not {expected.option_id}")
    if header.look != expected.look:
        raise LookMissing(
            f"the bitstream is look {header.look + 1} of its frame, and look {expected.look + 1} is due",
            mend="send the frame from its first look on, all of it on one stream",
        )
    if header != expected:
        raise CorruptBitstream(
            f"option {expected.option_id} is {expected.coder.name}, and the bitstream {header.coder.name}"
        )
    return memoryview(data)[HEADER_BYTES:]


def peek(data: Buffer) -> Header:
    """Read the header and check the whole bitstream against its checksum.

    Raises:
        TruncatedBitstream: shorter than a header.
        CorruptBitstream: magic, checksum or coder are wrong.
        UnsupportedVersion: a whole bitstream of another version.

    """
    if len(data) < HEADER_BYTES:
        raise TruncatedBitstream(f"a bitstream has a header of {HEADER_BYTES} bytes, and this is {len(data)} long")
    magic, kind, numbers = _FIELDS.unpack_from(data)
    if magic != BITSTREAM_MAGIC:
        raise CorruptBitstream(f"a bitstream begins with 0x{BITSTREAM_MAGIC:02x}, not 0x{magic:02x}")
    # Before the version is believed: a flipped bit must not send anyone to upgrade.
    if _checksum(data) != _CHECKSUM.unpack_from(data, _FIELDS.size)[0]:
        raise CorruptBitstream("the checksum of the bitstream does not hold")
    version, coder = kind >> 4, kind & 0xF
    if version != BITSTREAM_VERSION:
        raise UnsupportedVersion(
            f"the bitstream has version {version} and this side reads version {BITSTREAM_VERSION}",
            mend="upgrade the older side",
        )
    if coder not in Coder.__members__.values():
        raise CorruptBitstream(f"the bitstream names a coder {coder} that does not exist")
    return Header(Coder(coder), OptionId(numbers & MAX_OPTION_ID), numbers >> OPTION_ID_BITS)


def _checksum(data: Buffer) -> int:
    view = memoryview(data)
    return zlib.crc32(view[HEADER_BYTES:], zlib.crc32(view[: _FIELDS.size]))
