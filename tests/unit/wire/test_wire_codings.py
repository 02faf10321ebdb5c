import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from wire.bitstream import HEADER_BYTES, Coder, Header, peek, unwrap, wrap
from wire.codings import Float32Coding, HuffmanCoding, RawCoding
from wire.errors import BadBitstream, BadPicture, BundleError, CorruptBitstream, TruncatedBitstream, UnknownOption
from wire.huffman import HuffmanCoder
from wire.latent_codings import RansCoding
from wire.messages import MAX_BITSTREAM_BYTES, Frame, pack, unpack
from wire.picture_coding import PictureCoding
from wire.rans import RansCoder
from wire.rans_tables import integer_tables
from wire.tensor_form import TensorForm

bounded = settings(derandomize=True, deadline=None, max_examples=60)

OPTION = 258
LEVELS = 16
PICTURES = {Coder.JPEG: 80, Coder.PNG: None, Coder.WEBP: 80}
shapes = st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))


def real(shape):
    return TensorForm.symbols(shape, "float32")


def rans_coder(channels, contexts=3):
    counts = np.ones((channels, contexts, LEVELS), np.int64)
    counts[:, :, 0] = np.arange(contexts, 0, -1) * 20
    bounds = np.broadcast_to(np.arange(contexts) * 6, (channels, contexts))
    return RansCoder(integer_tables(counts, bounds))


def rans(shape, gain=1.0):
    gains = np.array([[gain] * shape[0], [1 / gain] * shape[0]], np.float32)
    return RansCoding(OPTION, real(shape), rans_coder(shape[0]), gains)


def huffman(shape, tables=1):
    return HuffmanCoding(OPTION, TensorForm.symbols(shape), HuffmanCoder(np.ones((tables, 7), np.uint16)))


def picture(form, coder=Coder.JPEG):
    return PictureCoding(OPTION, form, coder, PICTURES[coder])


def every_coding(shape=(5, 4, 3), side=(6, 8)):
    """One coding of every coder, those of pixels too."""
    symbols, pixels = TensorForm.symbols(shape), TensorForm.pixels(*side)
    return [
        huffman(shape),
        huffman(shape, tables=shape[0]),
        rans(shape),
        RawCoding(OPTION, symbols),
        RawCoding(OPTION, pixels),
        Float32Coding(OPTION, real(shape)),
        *(picture(form, coder) for coder in PICTURES for form in (symbols, pixels)),
    ]


def name_of(coding):
    return f"{peek(coding.encode(coding.blank())).coder.name}-{coding.form.name}"


CODINGS = every_coding()
each_coding = pytest.mark.parametrize("coding", CODINGS, ids=map(name_of, CODINGS))


def body_of(coding, tensor):
    return bytes(memoryview(coding.encode(tensor))[HEADER_BYTES:])


def stream(coding, body):
    """A bitstream of this coding's option with any body, and the right checksum."""
    return wrap(peek(coding.encode(coding.blank())), body)


@each_coding
def test_zeros_survive_the_way_there_and_back_in_any_buffer(coding):
    blank = coding.blank()
    coding.form.check(blank)
    assert not blank.any()
    bitstream = coding.encode(blank)
    assert type(bitstream) is bytes
    for form in (bitstream, bytearray(bitstream), memoryview(bitstream)):
        decoded = coding.decode(form)
        coding.form.check(decoded)
        assert np.abs(decoded.astype(float)).max() <= 2


@bounded
@given(st.data(), shapes)
def test_huffman_and_raw_symbols_come_back_as_they_were(data, shape):
    symbols = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 6)))
    codings = huffman(shape), huffman(shape, tables=shape[0]), RawCoding(OPTION, TensorForm.symbols(shape))
    for coding in codings:
        np.testing.assert_array_equal(coding.decode(coding.encode(symbols)), symbols)


@bounded
@given(st.data(), shapes)
def test_real_symbols_come_back_as_they_were_to_the_last_bit(data, shape):
    symbols = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(width=32, allow_nan=True)))
    coding = Float32Coding(OPTION, real(shape))
    decoded = coding.decode(coding.encode(symbols))
    assert decoded.dtype == np.float32
    assert decoded.tobytes() == symbols.tobytes()


@bounded
@given(st.data(), shapes, st.sampled_from([0.5, 1.0, 8.0]))
def test_quantised_symbols_are_off_by_half_a_step_at_most(data, shape, gain):
    most = (LEVELS - 1) / gain
    symbols = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-most, most, width=32)))
    coding = rans(shape, gain)
    decoded = coding.decode(coding.encode(symbols))
    assert (decoded.dtype, decoded.shape) == (np.float32, shape)
    np.testing.assert_array_equal(decoded, np.rint(symbols * np.float32(gain)) * np.float32(1 / gain))


def test_the_quantiser_takes_whatever_a_graph_may_give():
    symbols = np.zeros((2, 2, 2), np.float32)
    symbols[0] = [[np.nan, np.inf], [-np.inf, 3e38]]
    symbols[1] = [[-3e38, 1e-45], [15.4, -14.6]]
    decoded = rans((2, 2, 2), gain=4.0).decode(rans((2, 2, 2), gain=4.0).encode(symbols)) * 4
    assert decoded[0].tolist() == [[0, 15], [-15, 15]]
    assert decoded[1].tolist() == [[-15, 0], [15, -15]]


def test_every_channel_has_gains_of_its_own():
    gains = np.array([[1, 10], [1, 0.2]], np.float32)
    coding = RansCoding(OPTION, real((2, 1, 1)), rans_coder(2), gains)
    decoded = coding.decode(coding.encode(np.array([[[1.4]], [[0.5]]], np.float32)))
    np.testing.assert_allclose(decoded.ravel(), [1.0, 1.0])


@bounded
@given(st.data(), shapes)
def test_png_symbols_come_back_as_they_were_whatever_the_number_of_tiles(data, shape):
    symbols = data.draw(hnp.arrays(np.uint8, shape))
    coding = picture(TensorForm.symbols(shape), Coder.PNG)
    np.testing.assert_array_equal(coding.decode(coding.encode(symbols)), symbols)


@bounded
@given(shapes, st.sampled_from([Coder.JPEG, Coder.WEBP]), st.integers(0, 255))
def test_lossy_pictures_of_even_symbols_stay_near_them(shape, coder, level):
    symbols = np.full(shape, level, np.uint8)
    coding = picture(TensorForm.symbols(shape), coder)
    assert np.abs(coding.decode(coding.encode(symbols)).astype(int) - level).max() <= 3


@pytest.mark.parametrize("coder", PICTURES)
def test_smooth_symbols_survive_a_picture_tile_by_tile(coder):
    rows, columns = np.mgrid[0:14, 0:14]
    symbols = np.stack([40 + 8 * number + rows * 2 + columns * 3 for number in range(13)]).astype(np.uint8)
    coding = picture(TensorForm.symbols(symbols.shape), coder)
    decoded = coding.decode(coding.encode(symbols)).astype(int)
    assert np.abs(decoded - symbols).mean() < 4


@pytest.mark.parametrize("coder", PICTURES)
@pytest.mark.parametrize("side", [(1, 1), (7, 5), (224, 224), (256, 200), (260, 260)])
def test_pixels_survive_a_picture(coder, side):
    rows, columns = np.mgrid[0 : side[0], 0 : side[1]]
    pixels = np.stack([rows % 200, columns % 200, (rows + columns) // 3], axis=2).astype(np.uint8)
    coding = picture(TensorForm.pixels(*side), coder)
    decoded = coding.decode(coding.encode(pixels))
    assert (decoded.shape, decoded.dtype) == (pixels.shape, np.uint8)
    assert np.abs(decoded.astype(int) - pixels).mean() < (0.1 if coder is Coder.PNG else 6)


@pytest.mark.parametrize(
    ("coding", "size", "mode"),
    [
        (picture(TensorForm.symbols((13, 14, 10)), Coder.JPEG), (40, 56), "L"),
        (picture(TensorForm.symbols((13, 14, 10)), Coder.PNG), (40, 56), "L"),
        (picture(TensorForm.symbols((13, 14, 10)), Coder.WEBP), (40, 56), "RGB"),
        (picture(TensorForm.symbols((12, 2, 3)), Coder.PNG), (12, 6), "L"),
        (picture(TensorForm.symbols((16, 2, 3)), Coder.PNG), (12, 8), "L"),
        (picture(TensorForm.pixels(20, 30), Coder.JPEG), (30, 20), "RGB"),
    ],
)
def test_a_picture_is_one_that_anybody_can_open(coding, size, mode):
    opened = Image.open(io.BytesIO(body_of(coding, coding.blank())))
    assert (opened.size, opened.mode) == (size, mode)


def test_a_small_jpeg_carries_only_the_codes_it_uses():
    symbols = np.arange(4 * 49, dtype=np.uint8).reshape(4, 7, 7)
    plain = io.BytesIO()
    Image.fromarray(symbols.reshape(2, 2, 7, 7).swapaxes(1, 2).reshape(14, 14)).save(plain, "JPEG", quality=80)
    coding = picture(TensorForm.symbols(symbols.shape))
    assert len(body_of(coding, symbols)) < plain.tell() - 100


def test_raw_and_float32_bytes_lie_in_the_order_of_the_axes():
    symbols = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert body_of(RawCoding(OPTION, TensorForm.symbols(symbols.shape)), symbols) == bytes(range(24))
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    assert body_of(RawCoding(OPTION, TensorForm.pixels(4, 2)), pixels) == bytes(range(24))
    real_ones = np.array([[[1.0, -2.0]]], np.float32)
    assert body_of(Float32Coding(OPTION, real((1, 1, 2))), real_ones) == struct.pack("<2f", 1.0, -2.0)


@each_coding
def test_a_transposed_view_is_coded_like_its_copy(coding):
    view = np.asfortranarray(np.broadcast_to(np.arange(3, dtype=coding.form.dtype), (2, 3, 3)).transpose(1, 0, 2))
    twin = next(
        other
        for other in every_coding((3, 2, 3), (3, 2))
        if name_of(other) == name_of(coding) and type(other) is type(coding)
    )
    assert twin.encode(view) == twin.encode(np.ascontiguousarray(view))


@each_coding
def test_a_tensor_of_another_form_is_our_own_fault(coding):
    blank = coding.blank()
    for bad in (blank[0], blank[None], blank[:-1], blank.astype(np.float64), blank.astype(np.int8), blank[..., :-1]):
        with pytest.raises(ValueError, match=f"{coding.form.name} must be {coding.form.dtype}"):
            coding.encode(bad)


def test_a_symbol_outside_the_alphabet_is_our_own_fault():
    with pytest.raises(ValueError, match="symbol 7 is outside the alphabet"):
        huffman((1, 1, 1)).encode(np.full((1, 1, 1), 7, np.uint8))


@each_coding
def test_a_bitstream_of_another_option_or_coder_is_refused(coding):
    good = coding.encode(coding.blank())
    header = peek(good)
    body = unwrap(good, header)
    with pytest.raises(UnknownOption):
        coding.decode(wrap(Header(header.coder, OPTION + 1), body))
    with pytest.raises(CorruptBitstream):
        coding.decode(wrap(Header(Coder((header.coder + 1) % len(Coder)), OPTION), body))


@each_coding
def test_every_cut_and_every_flip_is_a_bad_bitstream(coding):
    good = coding.encode(coding.blank())
    for kept in range(len(good)):
        with pytest.raises(BadBitstream):
            coding.decode(good[:kept])
        flipped = bytearray(good)
        flipped[kept] ^= 1 << kept % 8
        with pytest.raises(BadBitstream):
            coding.decode(flipped)


@each_coding
def test_a_body_of_another_length_is_an_error_of_ours(coding):
    body = body_of(coding, coding.blank())
    for kept in range(len(body)):
        # A picture cut behind its last pixel may still be whole, and rANS signs are padded.
        with contextlib.suppress(BadBitstream, BadPicture):
            coding.decode(stream(coding, body[:kept]))
    with pytest.raises((TruncatedBitstream, BadPicture)):
        coding.decode(stream(coding, b""))
    if peek(coding.encode(coding.blank())).coder not in PICTURES:  # what lies behind a picture belongs to nobody
        with pytest.raises(CorruptBitstream):
            coding.decode(stream(coding, body + b"\x00" * 999))


@pytest.mark.parametrize(
    "coding", [RawCoding(OPTION, TensorForm.symbols((5, 4, 3))), Float32Coding(OPTION, real((1, 3, 5)))]
)
def test_plain_bytes_must_be_as_many_as_the_tensor_takes(coding):
    with pytest.raises(TruncatedBitstream, match="59 bytes cannot hold"):
        coding.decode(stream(coding, b"\x00" * 59))
    with pytest.raises(CorruptBitstream, match="61 bytes are more than"):
        coding.decode(stream(coding, b"\x00" * 61))


@settings(bounded, max_examples=40)
@given(data=st.data())
@each_coding
def test_a_damaged_body_under_a_good_checksum_decodes_or_is_an_error_of_ours(coding, data):
    body = bytearray(body_of(coding, np.ones_like(coding.blank())))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["change", "insert", "cut"])):
            case "change":
                body[at] = data.draw(st.integers(0, 255))
            case "insert":
                body[at:at] = data.draw(st.binary(min_size=1, max_size=9))
            case "cut":
                del body[at : at + data.draw(st.integers(1, 5))]
        body = body or bytearray(b"\x00")
    try:
        decoded = coding.decode(stream(coding, bytes(body)))
    except (BadBitstream, BadPicture):
        return
    coding.form.check(decoded)


@settings(bounded, max_examples=40)
@given(st.binary(max_size=200))
@each_coding
def test_random_bodies_decode_or_are_an_error_of_ours(coding, body):
    with contextlib.suppress(BadBitstream, BadPicture):
        coding.form.check(coding.decode(stream(coding, body)))


def encoded(image, form, **settings):
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


@pytest.mark.parametrize("coder", PICTURES)
@pytest.mark.parametrize("size", [(31, 32), (32, 31), (64, 64), (1, 1), (1500, 1500)])
def test_a_picture_of_another_size_is_refused_before_its_pixels_are_decoded(coder, size, monkeypatch):
    coding = picture(TensorForm.pixels(32, 32), coder)
    body = encoded(Image.new("RGB", size), coder.name)
    coding.decode(stream(coding, encoded(Image.new("RGB", (32, 32)), coder.name)))
    tracemalloc.start()
    try:
        with pytest.raises(BadPicture, match=f"is {size[0]}×{size[1]}, not 32×32"):
            coding.decode(stream(coding, body))
        assert tracemalloc.get_traced_memory()[1] < 200_000 + 4 * len(body)
    finally:
        tracemalloc.stop()


def png_of(width, height):
    """The head of a PNG that promises so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def webp_of(side):
    """A WebP that promises so many pixels, 14 bits a side."""
    body = bytearray(encoded(Image.new("RGB", (8, 8)), "WEBP"))
    struct.pack_into("<HH", body, 26, side, side)
    return bytes(body)


@pytest.mark.parametrize(
    ("coder", "body"),
    [
        (Coder.PNG, png_of(2**31 - 1, 2**31 - 1)),
        (Coder.PNG, png_of(11_000, 11_000)),
        (Coder.WEBP, webp_of(16383)),
        (Coder.WEBP, webp_of(11_000)),
    ],
)
def test_a_picture_that_promises_too_many_pixels_is_refused(coder, body):
    coding = picture(TensorForm.pixels(32, 32), coder)
    with pytest.raises(BadPicture):
        coding.decode(stream(coding, body))


@pytest.mark.parametrize(
    ("coder", "form", "body"),
    [
        (Coder.JPEG, TensorForm.pixels(8, 8), encoded(Image.new("RGB", (8, 8)), "PNG")),
        (Coder.PNG, TensorForm.pixels(8, 8), encoded(Image.new("RGB", (8, 8)), "JPEG")),
        (Coder.WEBP, TensorForm.pixels(8, 8), encoded(Image.new("RGB", (8, 8)), "PNG")),
        (Coder.JPEG, TensorForm.pixels(8, 8), encoded(Image.new("L", (8, 8)), "JPEG")),
        (Coder.JPEG, TensorForm.pixels(8, 8), encoded(Image.new("CMYK", (8, 8)), "JPEG")),
        (Coder.JPEG, TensorForm.symbols((4, 4, 4)), encoded(Image.new("RGB", (8, 8)), "JPEG")),
        (Coder.JPEG, TensorForm.pixels(8, 8), encoded(Image.new("RGB", (8, 8)), "JPEG", progressive=True)),
        (Coder.PNG, TensorForm.pixels(8, 8), encoded(Image.new("RGBA", (8, 8)), "PNG")),
        (Coder.PNG, TensorForm.symbols((4, 4, 4)), encoded(Image.new("P", (8, 8)), "PNG")),
        (Coder.PNG, TensorForm.symbols((4, 4, 4)), encoded(Image.new("I;16", (8, 8)), "PNG")),
        (Coder.WEBP, TensorForm.pixels(8, 8), encoded(Image.new("RGBA", (8, 8)), "WEBP")),
    ],
)
def test_a_picture_that_the_options_coder_would_never_make_is_refused(coder, form, body):
    coding = picture(form, coder)
    with pytest.raises(BadPicture) as caught:
        coding.decode(stream(coding, body))
    assert caught.value.mend


def test_tables_of_another_number_of_channels_are_refused():
    with pytest.raises(BundleError, match="3 coder tables for 4 channels"):
        HuffmanCoding(OPTION, TensorForm.symbols((4, 2, 2)), HuffmanCoder(np.ones((3, 7), np.uint16)))
    with pytest.raises(BundleError, match="3 channels for 4"):
        RansCoding(OPTION, real((4, 2, 2)), rans_coder(3), np.ones((2, 4), np.float32))


def test_symbols_that_no_picture_holds_are_refused():
    with pytest.raises(BundleError, match=r"picture of 25\d\d\d×"):
        picture(TensorForm.symbols((10_000, 1, 256)))


@pytest.mark.parametrize(
    "coding",
    [Float32Coding(OPTION, real((24, 56, 56))), Float32Coding(OPTION, real((3, 224, 224))),
     RawCoding(OPTION, TensorForm.pixels(224, 224))],
)  # fmt: skip
def test_one_message_holds_a_tensor_as_it_is(coding):
    bitstream = coding.encode(coding.blank())
    assert len(bitstream) == HEADER_BYTES + coding.form.size_bytes <= MAX_BITSTREAM_BYTES
    frame = Frame(frame_id=1, option_id=OPTION, budget_s=1.0, bitstream=bitstream)
    assert unpack(pack(frame)) == frame


def test_a_tensor_as_it_is_is_not_copied_when_it_is_read():
    coding = Float32Coding(OPTION, real((3, 224, 224)))
    bitstream = coding.encode(coding.blank())
    assert np.shares_memory(coding.decode(bitstream), np.frombuffer(bitstream, np.uint8))
