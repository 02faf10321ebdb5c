import contextlib
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from wire.bitstream import HEADER_BYTES, MAX_LOOKS, Coder, Header, peek, wrap
from wire.errors import BadBitstream, BundleError, CorruptBitstream, LookMissing, TruncatedBitstream, UnknownOption
from wire.ids import OptionId
from wire.latent_codings import RansCoding, RefinementCoding, refinement_coder
from wire.rans import RansCoder
from wire.rans_tables import Integers, Tables, integer_tables
from wire.refinement import CENTRE, CLASS_ACTIVITY, MAX_SLOPE, SYMBOLS
from wire.tensor_form import Shape, Tensor, TensorForm

bounded = settings(derandomize=True, deadline=None, max_examples=40)

OPTION = OptionId(258)
LEVELS = 16

shapes = st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(1, 6))


def real(shape: Shape) -> TensorForm:
    return TensorForm.symbols(shape, "float32")


def gains_of(channels: int, gain: float) -> Tensor:
    return np.array([[gain] * channels, [1 / gain] * channels], np.float32)


def first_look(shape: Shape, gain: float = 1.0, *, silent: int = 0, levels: int = LEVELS) -> RansCoding:
    counts = np.ones((shape[0], 2, levels), np.int64)
    counts[:, :, 0] = 30
    highest = np.where(np.arange(shape[0]) < shape[0] - silent, levels - 1, 0)
    tables = integer_tables(counts, np.tile([0, 6], (shape[0], 1)), highest)
    return RansCoding(OPTION, real(shape), RansCoder(tables), gains_of(shape[0], gain))


def refinement_tables(channels: int, silent: int = 0) -> Tables:
    """Tables of three contexts, one for every class of coarse levels: small beside a 0, else near the prediction."""
    distance = np.abs(np.arange(SYMBOLS) - np.array([[0], [CENTRE], [CENTRE]]))
    counts = np.tile(2 ** (8 - distance), (channels, 1, 1))
    highest = np.where(np.arange(channels) < channels - silent, SYMBOLS - 1, 0)
    return integer_tables(counts, np.tile(np.arange(3) * CLASS_ACTIVITY, (channels, 1)), highest)


def refining(
    look: int, form: TensorForm, tables: Integers, gains: Tensor, before: RansCoding | RefinementCoding
) -> RefinementCoding:
    return RefinementCoding(OPTION, look, form, refinement_coder(tables, gains, before), gains, before)


class Chain(NamedTuple):
    """The codings of one option."""

    first: RansCoding
    others: tuple[RefinementCoding, ...]

    @property
    def codings(self) -> tuple[RansCoding | RefinementCoding, ...]:
        return self.first, *self.others


def looks_of(shape: Shape, *gains: float, silent: int = 0, levels: int = LEVELS) -> Chain:
    """Make a look for every gain; the last channels of the first look are silent."""
    chain = Chain(first_look(shape, gains[0], silent=silent, levels=levels), ())
    tables = refinement_tables(shape[0])
    for look, gain in enumerate(gains[1:], start=1):
        before = chain.codings[-1]
        coding = refining(look, real(shape), tables, gains_of(shape[0], gain), before)
        chain = chain._replace(others=(*chain.others, coding))
    return chain


def decoded(chain: Chain, tensor: Tensor) -> list[Tensor]:
    """What every look comes to on the other side."""
    found = [chain.first.decode(chain.first.encode(tensor))]
    for coding in chain.others:
        found.append(coding.decode(coding.encode(tensor), found[-1]))
    return found


def drawn(shape: Shape, scale: float = 3.0, seed: int = 0) -> Tensor:
    return np.random.default_rng(seed).laplace(0, scale, shape).astype(np.float32)


def dequantised(levels: Integers, gain: float) -> NDArray[np.float32]:
    return levels.astype(np.float32) * np.float32(1 / gain)


@bounded
@given(st.data(), shapes, st.sampled_from([0.37, 1.0, 8.0]), st.floats(1.0, 4.0))
def test_a_refined_symbol_is_off_by_half_of_its_own_step_at_most(
    data: st.DataObject, shape: Shape, gain: float, ratio: float
) -> None:
    most = float(np.float32((LEVELS - 1) / gain))
    symbols = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-most, most, width=32)))
    first, second = decoded(looks_of(shape, gain, gain * ratio), symbols)
    assert second.dtype == np.float32
    assert second.shape == shape
    np.testing.assert_array_equal(first, dequantised(np.rint(symbols * np.float32(gain)), gain))
    finer = gain * ratio
    np.testing.assert_array_equal(second, dequantised(np.rint(symbols * np.float32(finer)), finer))


@bounded
@given(st.data(), shapes, st.sampled_from([0.01, 0.7, 1.0, 3.3, MAX_SLOPE / 256]))
def test_whatever_the_symbols_the_other_side_comes_to_the_levels_that_were_coded(
    data: st.DataObject, shape: Shape, ratio: float
) -> None:
    symbols = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(width=32, allow_nan=True)))
    gains = [0.9 * ratio**look for look in range(3)]
    chain = looks_of(shape, *gains)
    for coding, found, gain in zip(chain.codings, decoded(chain, symbols), gains, strict=True):
        np.testing.assert_array_equal(found, dequantised(coding.levels(symbols), gain))


def test_every_look_of_a_chain_comes_nearer() -> None:
    gains = (0.5, 1.1, 2.9, 8.0)
    assert len(gains) == MAX_LOOKS
    symbols = np.clip(drawn((9, 6, 5)), -29, 29)
    for gain, found in zip(gains, decoded(looks_of(symbols.shape, *gains), symbols), strict=True):
        assert np.abs(found - symbols).max() <= 0.5 / gain + 1e-5
        np.testing.assert_array_equal(found, dequantised(np.rint(symbols * np.float32(gain)), gain))


def test_a_look_of_three_depends_on_the_one_before_it() -> None:
    symbols = drawn((9, 6, 5))
    chain = looks_of(symbols.shape, 0.5, 1.25, 3.0)
    third = chain.others[1]
    one, two, three = decoded(chain, symbols)
    # The second look's levels, not the first's, say what the third's mean.
    with contextlib.suppress(BadBitstream):
        assert (third.decode(third.encode(symbols), one) != three).any()
    other = two.copy()
    other[0, 0, 0] += np.float32(5 / 1.25)
    with contextlib.suppress(BadBitstream):
        assert (third.decode(third.encode(symbols), other) != three).any()


def test_the_greatest_levels_that_four_looks_reach_come_back() -> None:
    steps = MAX_SLOPE / 256
    for gain in (1.0, 0.1237, 1e-30, 1e30):
        symbols = (np.array([[[np.inf, -np.inf, 0]], [[1e6, -127.4, 126.51]]]) / gain).astype(np.float32)
        gains = [gain * steps**look for look in range(MAX_LOOKS)]
        chain = looks_of(symbols.shape, *gains, levels=128)
        for coding, found, own in zip(chain.codings, decoded(chain, symbols), gains, strict=True):
            np.testing.assert_array_equal(found, dequantised(coding.levels(symbols), own))
        assert int(chain.others[-1].levels(symbols).max()) > 127 * steps ** (MAX_LOOKS - 1)


def test_a_refinement_takes_fewer_bytes_than_the_finer_rate_alone() -> None:
    symbols = drawn((24, 7, 7), scale=1.5)
    _, (second,) = looks_of(symbols.shape, 1.0, 2.0)
    alone = first_look(symbols.shape, 2.0)
    assert len(second.encode(symbols)) < len(alone.encode(symbols))


def test_a_bitstream_says_which_look_it_is() -> None:
    chain = looks_of((3, 2, 2), 1, 2, 4, 8)
    headers = [peek(coding.encode(np.zeros((3, 2, 2), np.float32))) for coding in chain.codings]
    assert headers == [Header(Coder.RANS, OPTION, look) for look in range(4)]


def test_a_bitstream_of_another_look_is_refused() -> None:
    symbols = drawn((3, 2, 2))
    chain = looks_of(symbols.shape, 1, 2, 4)
    bitstreams = [coding.encode(symbols) for coding in chain.codings]
    found = decoded(chain, symbols)
    for look, bitstream in enumerate(bitstreams):
        for due, coding in enumerate(chain.others, start=1):
            if look != due:
                with pytest.raises(LookMissing, match=f"is look {look + 1} of its frame, and look {due + 1} is due"):
                    coding.decode(bitstream, found[due - 1])
        if look:
            with pytest.raises(LookMissing, match=f"is look {look + 1} of its frame, and look 1 is due"):
                chain.first.decode(bitstream)


def test_a_bitstream_of_another_option_or_coder_is_refused() -> None:
    symbols = drawn((3, 2, 2))
    first, (second,) = looks_of(symbols.shape, 1, 2)
    body, earlier = second.encode(symbols)[HEADER_BYTES:], first.decode(first.encode(symbols))
    with pytest.raises(UnknownOption):
        second.decode(wrap(Header(Coder.RANS, OptionId(OPTION + 1), 1), body), earlier)
    with pytest.raises(CorruptBitstream, match="is RANS, and the bitstream RAW"):
        second.decode(wrap(Header(Coder.RAW, OPTION, 1), body), earlier)


def test_the_quantiser_takes_whatever_a_graph_may_give() -> None:
    symbols = np.zeros((2, 2, 2), np.float32)
    symbols[0] = [[np.nan, np.inf], [-np.inf, 3e38]]
    symbols[1] = [[-3e38, 1e-45], [15.4, -14.6]]
    first, second, third = decoded(looks_of((2, 2, 2), 1, 4, 16), symbols)
    assert first.tolist() == [[[0, 15], [-15, 15]], [[-15, 0], [15, -15]]]
    # What is beyond the first look's greatest level is the farthest that each further one can say.
    assert second.tolist() == [[[0, 16], [-16, 16]], [[-16, 0], [15.5, -14.5]]]
    assert third.tolist() == [[[0, 16.25], [-16.25, 16.25]], [[-16.25, 0], [15.375, -14.625]]]


def test_nothing_is_nothing_in_every_look() -> None:
    for found in decoded(looks_of((5, 3, 3), 1, 2, 4), np.zeros((5, 3, 3), np.float32)):
        assert not found.any()
    for found in decoded(looks_of((5, 3, 3), 1, 2, 4), np.full((5, 3, 3), np.nan, np.float32)):
        assert not found.any()


def test_a_refinement_says_what_is_in_channels_that_were_silent() -> None:
    symbols = np.clip(drawn((6, 4, 4), scale=0.8), -1.75, 1.75)
    first, second = decoded(looks_of(symbols.shape, 1, 4, silent=3), symbols)
    assert not first[3:].any()
    np.testing.assert_array_equal(second, np.rint(symbols * 4) / 4)


def test_every_channel_has_gains_of_its_own() -> None:
    first = first_look((2, 1, 1))
    gains = np.array([[2, 5], [0.5, 0.125]], np.float32)
    second = refining(1, real((2, 1, 1)), refinement_tables(2), gains, first)
    found = decoded(Chain(first, (second,)), np.array([[[3.3]], [[-2.21]]], np.float32))[1]
    np.testing.assert_array_equal(found.ravel(), [3.5, -11 * 0.125])


def test_a_coding_remembers_no_frame() -> None:
    chain = looks_of((4, 5, 6), 1, 2, 4)
    frames = [drawn((4, 5, 6), seed=seed) for seed in range(3)]
    bitstreams = [[coding.encode(frame) for coding in chain.codings] for frame in frames]
    earlier = [chain.first.decode(bitstream) for bitstream, *_ in bitstreams]
    for look, coding in enumerate(chain.others, start=1):
        earlier = [coding.decode(own[look], before) for own, before in zip(bitstreams, earlier, strict=True)]
    for frame, found in zip(frames, earlier, strict=True):
        np.testing.assert_array_equal(found, decoded(looks_of((4, 5, 6), 1, 2, 4), frame)[-1])


def test_a_refinement_is_read_from_any_buffer_and_leaves_the_earlier_look_as_it_was() -> None:
    symbols = drawn((4, 5, 6))
    first, (second,) = looks_of(symbols.shape, 1, 2)
    earlier = first.decode(first.encode(symbols))
    before = earlier.copy()
    earlier.flags.writeable = False
    bitstream = second.encode(symbols)
    assert type(bitstream) is bytes
    expected = second.decode(bitstream, earlier)
    for buffer in (bytearray(bitstream), memoryview(bitstream)):
        np.testing.assert_array_equal(second.decode(buffer, earlier), expected)
    np.testing.assert_array_equal(earlier, before)


def test_a_transposed_view_is_coded_like_its_copy() -> None:
    view = drawn((6, 5, 4)).transpose(2, 1, 0)
    for coding in looks_of((4, 5, 6), 1, 2, 4).codings:
        assert coding.encode(view) == coding.encode(np.ascontiguousarray(view))


def test_a_tensor_of_another_form_is_our_own_fault() -> None:
    blank = np.zeros((5, 4, 3), np.float32)
    _, (second,) = looks_of((5, 4, 3), 1, 2)
    for bad in (blank[0], blank[None], blank[:-1], blank.astype(np.float64), blank.astype(np.int8), blank[..., :-1]):
        with pytest.raises(ValueError, match="symbols must be float32"):
            second.encode(bad)


def test_every_cut_and_every_flip_is_a_bad_bitstream() -> None:
    symbols = drawn((3, 4, 4), scale=1)
    first, (second,) = looks_of(symbols.shape, 1, 2)
    earlier, good = first.decode(first.encode(symbols)), second.encode(symbols)
    for kept in range(len(good)):
        with pytest.raises(BadBitstream):
            second.decode(good[:kept], earlier)
        flipped = bytearray(good)
        flipped[kept] ^= 1 << kept % 8
        with pytest.raises(BadBitstream):
            second.decode(flipped, earlier)


def test_a_body_of_another_length_under_a_good_checksum_is_a_bad_bitstream() -> None:
    symbols = drawn((3, 4, 4), scale=1)
    first, (second,) = looks_of(symbols.shape, 1, 2)
    earlier, body = first.decode(first.encode(symbols)), second.encode(symbols)[HEADER_BYTES:]
    header = Header(Coder.RANS, OPTION, 1)
    for kept in range(len(body)):
        with pytest.raises(TruncatedBitstream):
            second.decode(wrap(header, body[:kept]), earlier)
    with pytest.raises(CorruptBitstream):
        second.decode(wrap(header, body + b"\x00"), earlier)


@settings(bounded, max_examples=60)
@given(st.data(), st.binary(max_size=60))
def test_any_body_under_a_good_checksum_decodes_or_is_a_bad_bitstream(data: st.DataObject, body: bytes) -> None:
    symbols = drawn((3, 4, 4), scale=1)
    first, (second,) = looks_of(symbols.shape, 1, 2)
    earlier, good = first.decode(first.encode(symbols)), bytearray(second.encode(symbols)[HEADER_BYTES:])
    at = data.draw(st.integers(0, len(good) - 1))
    good[at : at + data.draw(st.integers(0, 9))] = body[:9]
    for some in (body, bytes(good)):
        with contextlib.suppress(BadBitstream):
            second.form.check(second.decode(wrap(Header(Coder.RANS, OPTION, 1), some), earlier))


@pytest.mark.parametrize("ratio", [MAX_SLOPE / 256 + 0.01, 100, 1 / 520, 1e-9, 1e30])
@pytest.mark.parametrize("channel", [0, 2])
def test_gains_whose_ratio_is_out_of_range_are_refused_with_a_way_to_mend_it(ratio: float, channel: int) -> None:
    gains = gains_of(3, 2.0)
    gains[0, channel] = ratio
    with pytest.raises(BundleError, match="slopes of a refinement") as caught:
        refining(1, real((3, 2, 2)), refinement_tables(3), gains, first_look((3, 2, 2)))
    assert caught.value.mend


@pytest.mark.parametrize("ratio", [MAX_SLOPE / 256, 1 / 256, 1 / 500])
def test_gains_whose_ratio_is_just_in_range_are_taken(ratio: float) -> None:
    symbols = drawn((3, 2, 2))
    chain = looks_of((3, 2, 2), 1, ratio)
    np.testing.assert_array_equal(decoded(chain, symbols)[1], dequantised(chain.others[0].levels(symbols), ratio))


@pytest.mark.parametrize(
    "gains",
    [
        gains_of(3, 2).astype(np.float64),
        gains_of(4, 2),
        gains_of(3, 2).T,
        gains_of(3, 2).ravel(),
        gains_of(3, 2) * np.array([[1, 1, 0], [1, 1, 1]], np.float32),
        gains_of(3, 2) * np.array([[1, 1, 1], [1, -1, 1]], np.float32),
        gains_of(3, 2) * np.array([[1, np.inf, 1], [1, 1, 1]], np.float32),
        gains_of(3, 2) * np.array([[1, 1, 1], [np.nan, 1, 1]], np.float32),
    ],
)
def test_gains_that_are_not_of_the_channels_or_not_positive_are_refused(gains: Tensor) -> None:
    with pytest.raises(BundleError, match="gain") as caught:
        refining(1, real((3, 2, 2)), refinement_tables(3), gains, first_look((3, 2, 2)))
    assert caught.value.mend


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_tables_of_another_number_of_channels_are_refused(channels: int) -> None:
    with pytest.raises(BundleError, match=f"{channels} channels") as caught:
        refining(1, real((3, 2, 2)), refinement_tables(channels), gains_of(3, 2), first_look((3, 2, 2)))
    assert caught.value.mend


def test_tables_of_a_first_look_are_refused() -> None:
    tables = integer_tables(np.ones((3, 1, LEVELS), np.int64), np.zeros((3, 1), np.int64))
    with pytest.raises(BundleError, match="8 symbols, not 16"):
        refining(1, real((3, 2, 2)), tables, gains_of(3, 2), first_look((3, 2, 2)))
