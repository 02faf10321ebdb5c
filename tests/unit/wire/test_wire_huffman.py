import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wire.errors import BadBitstream, BundleError, CorruptBitstream, TruncatedBitstream
from wire.huffman import MAX_CODE_BITS, HuffmanCoder

bounded = settings(derandomize=True, deadline=None, max_examples=100)

HALVES = HuffmanCoder(np.array([[8, 4, 2, 1, 1]]))
UNIFORM_3 = HuffmanCoder(np.ones((1, 3), np.int64))


@st.composite
def frequency_tables(draw):
    shape = (draw(st.integers(1, 6)), draw(st.integers(2, 40)))
    weights = st.one_of(st.integers(1, 65535), st.just(1), st.integers(0, 15).map(lambda power: 2**power))
    return draw(hnp.arrays(draw(st.sampled_from([np.uint16, np.int32, np.int64])), shape, elements=weights))


@st.composite
def coders_and_symbols(draw):
    frequencies = draw(frequency_tables())
    tables, alphabet = frequencies.shape
    shape = (tables, draw(st.integers(0, 30)))
    symbols = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, alphabet - 1)))
    return HuffmanCoder(frequencies), symbols


def lcg(count, modulus):
    """Pseudo-random integers that no library can change under us."""
    state, drawn = 1, []
    for _ in range(count):
        state = (state * 1103515245 + 12345) % 2**31
        drawn.append((state >> 16) % modulus)
    return np.array(drawn)


def kraft(coder):
    return (1 << (MAX_CODE_BITS - coder.code_lengths.astype(int))).sum(axis=1)


@bounded
@given(coders_and_symbols())
def test_any_symbols_of_any_tables_survive_the_way_there_and_back(pair):
    coder, symbols = pair
    decoded = coder.decode(coder.encode(symbols), symbols.shape[1])
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize(
    "row",
    [
        [1] * 2,
        [1] * 256,
        [65535] + [1] * 255,
        [1] * 255 + [65535],
        [2 ** min(k, 15) for k in range(256)],
        [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946],
    ],
    ids=["two", "uniform", "one-likely", "last-likely", "powers", "fibonacci"],
)
def test_every_symbol_of_a_distribution_survives_alone_and_among_others(row):
    coder = HuffmanCoder(np.array([row]))
    assert kraft(coder) == 1 << MAX_CODE_BITS
    assert coder.code_lengths.min() >= 1
    assert coder.code_lengths.max() <= MAX_CODE_BITS
    every = np.arange(len(row), dtype=np.uint8)[None]
    np.testing.assert_array_equal(coder.decode(coder.encode(every), len(row)), every)
    for symbol in (0, len(row) // 2, len(row) - 1):
        same = np.full((1, 500), symbol, np.uint8)
        np.testing.assert_array_equal(coder.decode(coder.encode(same), 500), same)


@bounded
@given(frequency_tables())
def test_code_lengths_are_within_the_limit_and_never_longer_for_a_more_frequent_symbol(frequencies):
    coder = HuffmanCoder(frequencies)
    lengths = coder.code_lengths
    assert lengths.shape == frequencies.shape
    assert lengths.min() >= 1
    assert lengths.max() <= MAX_CODE_BITS
    assert (kraft(coder) == 1 << MAX_CODE_BITS).all()
    for row, frequency in zip(lengths, frequencies.astype(int), strict=True):
        order = np.argsort(-frequency, kind="stable")
        strictly_rarer = np.diff(frequency[order]) < 0
        assert (np.diff(row[order].astype(int))[strictly_rarer] >= 0).all()


@bounded
@given(frequency_tables())
def test_a_table_gets_the_same_codes_alone_and_beside_others(frequencies):
    together = HuffmanCoder(frequencies).code_lengths
    for row, lengths in zip(frequencies, together, strict=True):
        np.testing.assert_array_equal(HuffmanCoder(row[None]).code_lengths[0], lengths)


def test_codes_are_near_the_entropy():
    frequencies = np.array([[max(1, 20000 >> abs(k - 16)) for k in range(32)]])
    p = frequencies[0] / frequencies.sum()
    mean_bits = (p * HuffmanCoder(frequencies).code_lengths[0]).sum()
    assert mean_bits < -(p * np.log2(p)).sum() + 0.1


def test_the_codes_of_a_small_table_can_be_followed_by_hand():
    assert HALVES.code_lengths.tolist() == [[1, 2, 3, 4, 4]]
    # 0 10 110 1110 1111, then two bits of padding
    assert HALVES.encode(np.array([[0, 1, 2, 3, 4]], np.uint8)) == bytes([0b01011011, 0b10111100])
    assert UNIFORM_3.code_lengths.tolist() == [[2, 2, 1]]
    # symbol 2 has the short code 0; symbols 0 and 1 have 10 and 11
    assert UNIFORM_3.encode(np.array([[2, 0, 1]], np.uint8)) == bytes([0b01011000])


def test_the_bytes_of_a_large_stream_stay_what_they_are():
    frequencies = (lcg(48 * 24, 2**15) ** 3 // 2**31 + 1).reshape(48, 24)
    frequencies[0] = [2 ** min(k, 15) for k in range(24)]
    coder = HuffmanCoder(frequencies)
    stream = coder.encode((lcg(48 * 49, 24) * lcg(48 * 49, 24) // 24).astype(np.uint8).reshape(48, 49))
    assert coder.code_lengths[0].tolist() == LIMITED_LENGTHS
    assert (len(stream), hashlib.sha256(stream).hexdigest()) == (STREAM_BYTES, STREAM_SHA256)


LIMITED_LENGTHS = [12, 12, 12, 12, 12, 12, 12, 12, 11, 11, 10, 8, 7, 6, 5, 4, 4, 4, 3, 3, 3, 3, 3, 3]
STREAM_BYTES = 1910
STREAM_SHA256 = "851a6d86e642ccb70d8ac327b197594863146ae35761b0c2e14c679fbc0e2b68"


@bounded
@given(coders_and_symbols(), st.data())
def test_a_shortened_stream_is_truncated(pair, data):
    coder, symbols = pair
    stream = coder.encode(symbols)
    if stream:
        with pytest.raises(BadBitstream):
            coder.decode(stream[: data.draw(st.integers(0, len(stream) - 1))], symbols.shape[1])


@bounded
@given(coders_and_symbols(), st.binary(min_size=1, max_size=20))
def test_bytes_left_over_are_corrupt(pair, more):
    coder, symbols = pair
    with pytest.raises(CorruptBitstream):
        coder.decode(coder.encode(symbols) + more, symbols.shape[1])


@settings(bounded, max_examples=300)
@given(frequency_tables(), st.binary(max_size=60), st.integers(0, 40))
def test_any_bytes_decode_or_are_a_bad_bitstream(frequencies, data, n):
    coder = HuffmanCoder(frequencies)
    try:
        symbols = coder.decode(data, n)
    except BadBitstream:
        return
    assert symbols.shape == (coder.tables, n)
    assert coder.encode(symbols) == data


def test_missing_bits_are_truncated_wherever_they_are_missing():
    symbols = np.array([[4, 4, 4, 4, 4]], np.uint8)
    stream = HALVES.encode(symbols)
    for kept in range(len(stream)):
        with pytest.raises(TruncatedBitstream):
            HALVES.decode(stream[:kept], 5)
    with pytest.raises(TruncatedBitstream, match="within its last symbol"):
        HALVES.decode(b"\x7f", 3)


def test_padding_that_is_not_zero_is_corrupt():
    with pytest.raises(CorruptBitstream, match="padding"):
        HALVES.decode(bytes([0b01011011, 0b10111101]), 5)


def test_no_memory_is_taken_for_symbols_that_the_data_cannot_hold():
    with pytest.raises(TruncatedBitstream):
        HALVES.decode(b"\x00" * 10, 10**15)
    with pytest.raises(CorruptBitstream):
        HALVES.decode(b"\x00" * 10**6, 10)


def test_no_symbols_are_no_bytes():
    assert HALVES.encode(np.empty((1, 0), np.uint8)) == b""
    assert HALVES.decode(b"", 0).shape == (1, 0)
    with pytest.raises(CorruptBitstream):
        HALVES.decode(b"\x00", 0)


@pytest.mark.parametrize(
    "symbols",
    [
        np.array([[5]], np.uint8),
        np.array([[0]], np.int64),
        np.array([0], np.uint8),
        np.zeros((2, 3), np.uint8),
    ],
)
def test_symbols_that_are_not_of_the_coder_are_our_own_fault(symbols):
    with pytest.raises(ValueError, match="symbol"):
        HALVES.encode(symbols)


def test_a_negative_count_is_our_own_fault():
    with pytest.raises(ValueError, match="negative"):
        HALVES.decode(b"", -1)


@pytest.mark.parametrize(
    "frequencies",
    [
        np.ones((1, 1), np.uint16),
        np.ones((1, 257), np.uint16),
        np.ones((4097, 2), np.uint16),
        np.ones((0, 2), np.uint16),
        np.ones(4, np.uint16),
        np.ones((1, 4), np.float32),
        np.ones((1, 4), np.bool_),
        np.array([[1, 0]]),
        np.array([[1, -1]]),
        np.array([[1, 65536]]),
        np.array([[1, 2**64 - 1]], np.uint64),
    ],
)
def test_tables_that_cannot_be_used_are_refused_with_a_way_to_mend_it(frequencies):
    with pytest.raises(BundleError) as caught:
        HuffmanCoder(frequencies)
    assert caught.value.mend
