"""The decoders of bitstreams under the fuzzer: any body behind a header that holds.

A checksum guards every bitstream, so that changed bytes alone would never come past it; these targets take a body and
put the right header before it, or the header too where the first byte asks for that. What decodes must have the form
of its option, and come back the same from its own bitstream where the coder loses nothing.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from loadtests.fuzz_bundle import looks, write_bundle
from loadtests.fuzz_target import ACCEPTED, Target
from wire.bitstream import HEADER_BYTES, Coder, Header, wrap
from wire.bundle import Bundle
from wire.errors import BadBitstream, BadPicture, LookMissing, UnknownOption, UnsupportedVersion
from wire.manifest import Option
from wire.tensor_form import Tensor

REFUSALS: Final = (BadBitstream, BadPicture, LookMissing, UnknownOption, UnsupportedVersion)
"""All that a decoder may refuse a bitstream with."""
WHOLE: Final = 0x80
"""Of the first byte: what follows is a whole bitstream, not a body. The rest of it chooses the option."""
SEEDS: Final = 3
PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"

Check = Callable[[Option, Tensor, bytes], None]


def plain(folder: Path) -> Target:
    """Make the target of raw and float32."""
    return _target(folder, ("raw", "float32"), _check_same_bytes)


def huffman(folder: Path) -> Target:
    """Make the target of Huffman."""
    return _target(folder, ("huffman",), _check_same_bytes)


def pictures(folder: Path) -> Target:
    """Make the target of JPEG, PNG and WebP; a PNG's own checksums are put right, half of the time."""
    return _target(folder, ("jpeg", "png", "webp"), None)


def rans(folder: Path) -> Target:
    """Make the target of rANS, first looks alone."""
    return _target(folder, ("rans",), _check_same_tensor)


def refinement(folder: Path) -> Target:
    """Make the target of further looks: the first byte chooses the frame and the look; those before it hold."""
    bundle = write_bundle(folder)
    cases = []
    for option in (option for option in bundle.manifest.options if option.refinements):
        for seed in range(SEEDS):
            sent = looks(bundle, option, seed)
            earlier = bundle.coding(option).decode(sent[0])
            for coding, bitstream in zip(bundle.refinements(option), sent[1:], strict=True):
                cases.append((option, coding, earlier, bitstream))
                earlier = coding.decode(bitstream, earlier)

    def run(data: bytes) -> str:
        option, coding, earlier, _ = cases[data[0] % WHOLE % len(cases)] if data else cases[0]
        look = bundle.refinements(option).index(coding) + 1
        try:
            decoded = coding.decode(_bitstream(data, Header(Coder.RANS, option.id, look)), earlier)
        except REFUSALS as error:
            return error.code
        option.form.check(decoded)
        return ACCEPTED

    seeds = [bytes((number,)) + case[3][HEADER_BYTES:] for number, case in enumerate(cases)]
    return Target(run=run, seeds=tuple(seeds))


def _target(folder: Path, coders: tuple[str, ...], check: "Callable[[Bundle], Check] | None") -> Target:
    bundle = write_bundle(folder)
    options = [option for option in bundle.manifest.options if option.coder in coders]
    checked = check(bundle) if check else None

    def run(data: bytes) -> str:
        option = options[data[0] % WHOLE % len(options)] if data else options[0]
        bitstream = _bitstream(data, Header(Coder[option.coder.upper()], option.id))
        try:
            decoded = bundle.coding(option).decode(bitstream)
        except REFUSALS as error:
            return error.code
        option.form.check(decoded)
        if checked:
            checked(option, decoded, bitstream)
        return ACCEPTED

    seeds = [
        bytes((number,)) + looks(bundle, option, seed)[0][HEADER_BYTES:]
        for number, option in enumerate(options)
        for seed in range(SEEDS)
    ]
    return Target(run=run, seeds=tuple(seeds))


def _bitstream(data: bytes, header: Header) -> bytes:
    if data[:1] >= bytes((WHOLE,)):
        return data[1:]
    body = data[1:]
    if body.startswith(PNG_MAGIC) and data[0] & 0x40:
        body = with_png_checksums(body)
    return wrap(header, body)


def with_png_checksums(picture: bytes) -> bytes:
    """Put the checksum of every whole chunk of a PNG right, so that what is in it is looked at."""
    parts, at = [PNG_MAGIC], len(PNG_MAGIC)
    while at + 12 <= len(picture):
        (size,) = struct.unpack_from(">I", picture, at)
        chunk = picture[at + 4 : at + 8 + size]
        if len(chunk) < 4 + size:
            break
        parts += [picture[at : at + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        at += 12 + size
    return b"".join((*parts, picture[at:]))


def _check_same_bytes(bundle: Bundle) -> Check:
    """Of coders in which every frame has one bitstream."""

    def check(option: Option, decoded: Tensor, bitstream: bytes) -> None:
        assert bundle.coding(option).encode(decoded) == bitstream, "what was decoded has another bitstream"

    return check


def _check_same_tensor(bundle: Bundle) -> Check:
    """Of coders that may say one frame in several ways, but no two frames in one."""

    def check(option: Option, decoded: Tensor, _bitstream: bytes) -> None:
        coding = bundle.coding(option)
        assert np.array_equal(coding.decode(coding.encode(decoded)), decoded), "a frame changed on its way"

    return check
