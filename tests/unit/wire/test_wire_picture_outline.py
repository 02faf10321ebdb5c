import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from wire.bitstream import HEADER_BYTES, Coder, Header, wrap
from wire.errors import BadPicture
from wire.picture_coding import PictureCoding
from wire.picture_outline import MAX_PARTS, check_outline
from wire.tensor_form import TensorForm

OPTION = 5
SIDE = 32
FORM = TensorForm.pixels(SIDE, SIDE)
QUALITIES = {Coder.JPEG: 80, Coder.PNG: None, Coder.WEBP: 80}


def picture(coder, **settings):
    pixels = np.random.default_rng(1).integers(0, 255, FORM.shape).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, coder.name, **settings)
    return file.getvalue()


def refused(coder, body, match):
    coding = PictureCoding(OPTION, FORM, coder, QUALITIES[coder])
    with pytest.raises(BadPicture, match=match) as caught:
        coding.decode(wrap(Header(coder, OPTION), body))
    assert caught.value.mend


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(chunks):
    """A PNG with other chunks behind its header."""
    body = picture(Coder.PNG)
    return body[:33] + chunks + body[33:]


def segment(kind, data):
    return struct.pack(">BBH", 0xFF, kind, 2 + len(data)) + data


def with_segments(segments):
    """A JPEG with other segments before its own."""
    body = picture(Coder.JPEG)
    return body[:2] + segments + body[2:]


@pytest.mark.parametrize("coder", QUALITIES)
@pytest.mark.parametrize("form", [TensorForm.pixels(700, 900), TensorForm.pixels(1, 1), TensorForm.symbols((5, 3, 4))])
@pytest.mark.parametrize("quality", [1, 50, 100])
def test_whatever_our_own_coder_writes_passes(coder, form, quality):
    coding = PictureCoding(OPTION, form, coder, None if coder is Coder.PNG else quality)
    noise = np.random.default_rng(0).integers(0, 255, form.shape).astype(np.uint8)
    bitstream = coding.encode(noise)
    assert coding.decode(bitstream).shape == form.shape
    with pytest.raises(BadPicture):
        check_outline(memoryview(bitstream)[HEADER_BYTES:], coder, (2, 2))


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"gAMA", b"fcTL"])
def test_a_png_with_anything_but_pixels_is_refused_before_it_is_unpacked(kind):
    # 700 of these in one message kept a replica for three seconds.
    packed = b"name\0\0" + zlib.compress(bytes(2**20))
    refused(Coder.PNG, with_chunks(chunk(kind, packed)), "has a part")


def test_a_png_of_ever_more_empty_parts_is_refused():
    refused(Coder.PNG, with_chunks(chunk(b"IDAT", b"") * MAX_PARTS), "more than")


def test_a_second_header_cannot_say_another_size():
    other = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE + 1, 8, 2, 0, 0, 0))
    refused(Coder.PNG, with_chunks(other), "has a part b'IHDR'")


@pytest.mark.parametrize("kind", [0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xDD, 0xF0])
def test_a_jpeg_with_anything_but_pixels_is_refused(kind):
    refused(Coder.JPEG, with_segments(segment(kind, b"Exif\0\0")), "has a part")


def test_a_jpeg_of_ever_more_tables_is_refused():
    refused(Coder.JPEG, with_segments(segment(0xDB, b"") * MAX_PARTS), "more than")


def test_a_second_frame_of_a_jpeg_cannot_say_another_size():
    frame = segment(0xC0, struct.pack(">BHHB", 8, 20000, 20000, 3) + bytes(9))
    refused(Coder.JPEG, with_segments(frame), "is 20000×20000, not 32×32")


def test_a_jpeg_with_a_scan_for_each_colour_is_refused():
    # One could pass over the whole picture as often as its bytes allow: a second for half a megabyte.
    body = picture(Coder.JPEG)
    scan = body.index(b"\xff\xda")
    one = bytes((0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0))
    refused(Coder.JPEG, body[:scan] + one * 100 + b"\xff\xd9", "all colours in its first scan")


def test_a_progressive_jpeg_is_refused_for_what_it_is():
    refused(Coder.JPEG, picture(Coder.JPEG, progressive=True), "progressive")


def test_a_webp_is_refused_before_its_canvas_is_made():
    # Pillow takes memory for the canvas that such a header claims as soon as it opens the file.
    canvas = (16383).to_bytes(3, "little") * 2
    body = picture(Coder.WEBP)
    head = b"VP8X" + struct.pack("<II", 10, 0) + canvas
    refused(Coder.WEBP, b"RIFF" + struct.pack("<I", len(body) + 10) + b"WEBP" + head + body[12:], "VP8X")


def test_a_lossless_webp_is_refused():
    refused(Coder.WEBP, picture(Coder.WEBP, lossless=True), "VP8L")


@pytest.mark.parametrize("coder", QUALITIES)
def test_every_cut_is_refused(coder):
    whole = picture(coder)
    coding = PictureCoding(OPTION, FORM, coder, QUALITIES[coder])
    for end in (0, 1, 2, 7, 8, 11, 12, 20, 25, 29, 30, 40, 200):
        with pytest.raises(BadPicture):
            coding.decode(wrap(Header(coder, OPTION), whole[:end]))


@pytest.mark.parametrize("coder", QUALITIES)
@pytest.mark.parametrize("side", [9600, 12000, 16383])
def test_a_picture_that_claims_many_pixels_leaves_no_warning_behind(coder, side):
    # Python keeps the words of every warning, and Pillow's say the size: each other size would be kept for ever.
    body = bytearray(picture(coder))
    at, form = {Coder.PNG: (16, ">II"), Coder.JPEG: (body.find(b"\xff\xc0") + 5, ">HH"), Coder.WEBP: (26, "<HH")}[coder]
    struct.pack_into(form, body, at, side, side)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        refused(coder, bytes(body), f"is {side}×{side}, not 32×32")
    assert not warned


def test_another_coder_is_our_own_fault():
    with pytest.raises(KeyError):
        check_outline(memoryview(b""), Coder.RAW, (1, 1))
