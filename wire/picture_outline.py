"""The parts that a picture file is made of, and the size that it claims, looked at before any decoder sees it.

A decoder of pictures knows far more than pixels: a PNG of 700 kB can hold colour profiles that take three seconds to
unpack, a WebP of 76 bytes can have memory taken for a canvas of a gigabyte, and every size that is suspiciously large
is one more warning that Python keeps for ever; all of that before anybody could ask how large the picture is. Our own
coders write none of it, so that a file with anything else is refused. Owns the lists of parts; decodes nothing.
"""

import struct
from collections.abc import Iterator
from typing import Final

from wire.bitstream import Coder
from wire.errors import BadPicture

MEND: Final = "send a picture as this option's own coder makes it"
MAX_PARTS: Final = 64
"""Of a PNG, or of a JPEG's header; our coder writes nine, and one for every 64 kB of a PNG."""

_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC: Final = b"\xff\xd8"
_JPEG_SCAN: Final = 0xDA
# Of frames the third is progressive: it is refused later, with that reason.
_JPEG_FRAMES: Final = (0xC0, 0xC1, 0xC2)
# The format's own name, and the tables of quantisation and of Huffman's codes.
_JPEG_SEGMENTS: Final = (0xE0, 0xDB, 0xC4)
_WEBP_HEAD: Final = struct.Struct("<4sI4s4sI6sHH")
_WEBP_SIDE: Final = 2**14 - 1

Size = tuple[int, int]


def check_outline(body: memoryview, coder: Coder, size: Size) -> None:
    """Check that a file has only the parts that our coder writes, and is of the size (width, height) expected.

    Raises:
        BadPicture: it has others, or another size, or is none of the format.
    """
    sizes = {Coder.PNG: _png_sizes, Coder.JPEG: _jpeg_sizes, Coder.WEBP: _webp_sizes}[coder]
    try:
        for found in sizes(body):
            if found != size:
                raise _bad(coder, f"is {found[0]}×{found[1]}, not {size[0]}×{size[1]}")
    except struct.error:
        raise _bad(coder, "ends within its header") from None


def _png_sizes(body: memoryview) -> Iterator[Size]:
    """Yield the size of every header that the parts of a PNG hold; there should be one, and it comes first."""
    if bytes(body[: len(_PNG_MAGIC)]) != _PNG_MAGIC:
        raise _bad(Coder.PNG, "does not begin as one")
    at = len(_PNG_MAGIC)
    wanted: tuple[bytes, ...] = (b"IHDR",)
    for _ in range(MAX_PARTS):
        if at >= len(body):
            return
        length, kind = struct.unpack_from(">I4s", body, at)
        if kind not in wanted:
            raise _bad(Coder.PNG, f"has a part {kind!r}")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body, at + 8)
            yield width, height
        at, wanted = at + 12 + length, (b"IDAT", b"IEND")
    raise _bad(Coder.PNG, f"has more than {MAX_PARTS} parts")


def _jpeg_sizes(body: memoryview) -> Iterator[Size]:
    """Yield the sizes that a JPEG's segments say, up to its first scan: from there on there is but entropy code."""
    if bytes(body[: len(_JPEG_MAGIC)]) != _JPEG_MAGIC:
        raise _bad(Coder.JPEG, "does not begin as one")
    at, colours = len(_JPEG_MAGIC), None
    for _ in range(MAX_PARTS):
        mark, kind, length = struct.unpack_from(">BBH", body, at)
        if mark != 0xFF or kind not in (_JPEG_SCAN, *_JPEG_FRAMES, *_JPEG_SEGMENTS):
            raise _bad(Coder.JPEG, f"has a part {mark:02x}{kind:02x}")
        if kind == _JPEG_SCAN:
            # With a scan for each colour, it could pass over the picture as often as its bytes allow.
            if colours != body[at + 4 : at + 5]:
                raise _bad(Coder.JPEG, "does not have all colours in its first scan")
            return
        if kind in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", body, at + 5)
            colours = body[at + 9 : at + 10]
            yield width, height
        at += 2 + length
    raise _bad(Coder.JPEG, f"has more than {MAX_PARTS} parts before its first scan")


def _webp_sizes(body: memoryview) -> Iterator[Size]:
    """Yield the size of the one lossy picture that a WebP must be."""
    riff, _, form, kind, _, _, width, height = _WEBP_HEAD.unpack_from(body)
    if (riff, form, kind) != (b"RIFF", b"WEBP", b"VP8 "):
        raise _bad(Coder.WEBP, f"begins with {riff!r}, {form!r} and {kind!r}")
    yield width & _WEBP_SIDE, height & _WEBP_SIDE


def _bad(coder: Coder, says: str) -> BadPicture:
    return BadPicture(f"the {coder.name} {says}", mend=MEND)
