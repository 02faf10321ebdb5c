"""Static canonical Huffman codes made from integer frequency tables.

Integers only, ties broken by symbol index: the same tables give the same bytes on every platform. Owns the
codes; knows nothing of headers or tensors.
"""

from array import array
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wire.errors import BundleError, CorruptBitstream, TruncatedBitstream

MAX_CODE_BITS: Final = 12
MAX_TABLES: Final = 4096
MAX_ALPHABET: Final = 256
MAX_FREQUENCY: Final = 2**16 - 1

_WINDOWS = 1 << MAX_CODE_BITS

Integers = npt.NDArray[np.integer[Any]]
Symbols = npt.NDArray[np.uint8]


class HuffmanCoder:
    """Codes rows of symbols, each row with a table of its own.

    ``frequencies`` is an integer array of shape (T, A): T tables (1 to 4096) over an alphabet of A symbols
    (2 to 256), every frequency between 1 and 65535. Raises BundleError for anything else.
    """

    def __init__(self, frequencies: Integers) -> None:
        _check_frequencies(frequencies)
        self.tables, self.alphabet = frequencies.shape
        self._lengths = _code_lengths(frequencies.astype(np.int64))
        self._order, lefts = _canonical(self._lengths)
        self._codes = lefts >> (MAX_CODE_BITS - self._lengths)

    @property
    def code_lengths(self) -> Symbols:
        """Bits of every symbol's code: uint8, shape (T, A), 1 to ``MAX_CODE_BITS``."""
        return self._lengths.astype(np.uint8)

    def encode(self, symbols: Symbols) -> bytes:
        """Write uint8 symbols (T, n) row after row, most significant bit first, zero bits at the end.

        Raises ValueError for another shape or dtype, or for a symbol outside the alphabet.
        """
        if symbols.ndim != 2 or symbols.shape[0] != self.tables or symbols.dtype != np.uint8:
            raise ValueError(f"symbols must be uint8 of shape ({self.tables}, n), not {symbols.dtype} {symbols.shape}")
        if symbols.size == 0:
            return b""
        if int(symbols.max()) >= self.alphabet:
            raise ValueError(f"symbol {int(symbols.max())} is outside the alphabet of {self.alphabet}")
        at = (symbols + self._row_starts).ravel()
        lengths = self._lengths.ravel()[at]
        ends = np.cumsum(lengths)
        # A bit's shift is its distance from the last bit of its own code.
        shifts = np.repeat(ends - 1, lengths) - np.arange(ends[-1])
        bits = (np.repeat(self._codes.ravel()[at], lengths) >> shifts) & 1
        return np.packbits(bits.astype(np.uint8)).tobytes()

    def decode(self, data: bytes | memoryview, n: int) -> Symbols:
        """Read n symbols a table: uint8, shape (T, n).

        Raises:
            TruncatedBitstream: bits are missing.
            CorruptBitstream: bits are no code, bytes are left over, or the padding is not zero.

        """
        self._check_size(len(data), n)
        if n == 0:
            return np.empty((self.tables, 0), np.uint8)
        found_windows, end = self._walk(_bit_windows(data), n)
        found = np.take_along_axis(self._entries, found_windows, axis=1)
        if not (found & 0xF).all():
            raise CorruptBitstream("the bitstream holds bits that are no code")
        _check_end(data, end)
        return (found >> 4).astype(np.uint8)

    def _walk(self, windows: memoryview, n: int) -> tuple[npt.NDArray[np.uint16], int]:
        """Jump from code to code; give the window at each (T, n), and the bit after the last."""
        # Arrays on both sides, not lists: as fast, and two bytes an entry instead of 36.
        found = array("H")
        add = found.append
        position = 0
        try:
            for steps in self._steps:
                for _ in range(n):
                    window = windows[position]
                    add(window)
                    position += steps[window]
        except IndexError:
            raise TruncatedBitstream(f"the bitstream ends after {len(found)} of {n * self.tables} symbols") from None
        return np.frombuffer(found, np.uint16).reshape(self.tables, n), position

    def _check_size(self, size_bytes: int, n: int) -> None:
        """Bound the work by the data, and the data by the work, before memory is taken."""
        if n < 0:
            raise ValueError(f"n must not be negative, and is {n}")
        total = n * self.tables
        if size_bytes * 8 < total:
            raise TruncatedBitstream(f"{size_bytes} bytes cannot hold {total} symbols")
        if size_bytes > (total * MAX_CODE_BITS + 7) // 8:
            raise CorruptBitstream(f"{size_bytes} bytes are more than {total} symbols can take")

    @cached_property
    def _row_starts(self) -> npt.NDArray[np.int64]:
        return np.arange(self.tables, dtype=np.int64)[:, None] * self.alphabet

    @cached_property
    def _entries(self) -> npt.NDArray[np.uint16]:
        """For every table and every window of 12 bits ``symbol << 4 | length``; 0 where no code begins so."""
        # Made on the first decode: a device only encodes.
        entries = np.zeros((self.tables, _WINDOWS), np.uint16)
        lengths = np.take_along_axis(self._lengths, self._order, axis=1)
        spans = 1 << (MAX_CODE_BITS - lengths)
        for row, values, span in zip(entries, self._order << 4 | lengths, spans, strict=True):
            row[: span.sum()] = np.repeat(values, span)
        return entries

    @cached_property
    def _steps(self) -> list[bytes]:
        """Code length by window for every table, as bytes: the fastest thing to index."""
        return [row.tobytes() for row in (self._entries & 0xF).astype(np.uint8)]


def _check_frequencies(frequencies: Integers) -> None:
    mend = "make the bundle again"
    if not np.issubdtype(frequencies.dtype, np.integer):
        raise BundleError(f"coder tables must hold integers, not {frequencies.dtype}", mend=mend)
    if frequencies.ndim != 2:
        raise BundleError(f"coder tables must have two axes, not {frequencies.ndim}", mend=mend)
    tables, alphabet = frequencies.shape
    if not (1 <= tables <= MAX_TABLES and 2 <= alphabet <= MAX_ALPHABET):
        raise BundleError(
            f"coder tables have shape {frequencies.shape}; allowed are 1 to {MAX_TABLES} tables of "
            f"2 to {MAX_ALPHABET} symbols",
            mend=mend,
        )
    if int(frequencies.min()) < 1 or int(frequencies.max()) > MAX_FREQUENCY:
        raise BundleError(f"a frequency in a coder table is not between 1 and {MAX_FREQUENCY}", mend=mend)


def _code_lengths(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Code lengths in bits, int64 (T, A), by Huffman's algorithm on all the tables at once, then limited."""
    tables, alphabet = frequencies.shape
    rows = np.arange(tables)
    # One unique key a node, weight first, then age: leaves before joined nodes, low symbols first. Equal
    # weights thus never leave a choice, and the deepest code is as short as it can be.
    ages = 2 * alphabet
    keys = frequencies * ages + np.arange(alphabet)
    group = np.broadcast_to(np.arange(alphabet), frequencies.shape).copy()
    lengths = np.zeros_like(frequencies)
    taken = np.iinfo(np.int64).max
    for step in range(alphabet - 1):
        first = keys.argmin(axis=1)
        first_key = keys[rows, first]
        keys[rows, first] = taken
        second = keys.argmin(axis=1)
        weight = first_key // ages + keys[rows, second] // ages
        keys[rows, second] = taken
        keys[rows, first] = weight * ages + alphabet + step
        joined = group == second[:, None]
        lengths += joined | (group == first[:, None])
        group = np.where(joined, first[:, None], group)
    for row in np.flatnonzero(lengths.max(axis=1) > MAX_CODE_BITS):
        lengths[row] = _limited(lengths[row].tolist(), frequencies[row].tolist())
    return lengths


def _limited(lengths: list[int], frequencies: list[int]) -> list[int]:
    """Cut code lengths to ``MAX_CODE_BITS`` and mend Kraft's sum, in units of the shortest span."""
    lengths = [min(length, MAX_CODE_BITS) for length in lengths]
    excess = sum(_WINDOWS >> length for length in lengths) - _WINDOWS
    rarest_first = sorted(range(len(lengths)), key=lambda symbol: (frequencies[symbol], symbol))
    while excess > 0:
        # The longest code that can still grow costs the least; among those, the rarest symbol's.
        longest = max(length for length in lengths if length < MAX_CODE_BITS)
        symbol = next(symbol for symbol in rarest_first if lengths[symbol] == longest)
        lengths[symbol] += 1
        excess -= _WINDOWS >> lengths[symbol]
    for symbol in reversed(rarest_first):
        # What was overpaid goes back to the most frequent symbols that can take it.
        while excess + (_WINDOWS >> lengths[symbol]) <= 0:
            excess += _WINDOWS >> lengths[symbol]
            lengths[symbol] -= 1
    return lengths


def _canonical(lengths: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Symbols by (length, symbol), and every symbol's code shifted to the left of 12 bits; both (T, A)."""
    order = np.argsort(lengths, axis=1, kind="stable").astype(np.int64)
    spans = 1 << (MAX_CODE_BITS - np.take_along_axis(lengths, order, axis=1))
    lefts = np.empty_like(lengths)
    np.put_along_axis(lefts, order, np.cumsum(spans, axis=1) - spans, axis=1)
    return order, lefts


def _bit_windows(data: bytes | memoryview) -> memoryview:
    """List the 12 bits that begin at every bit of ``data`` (uint16); zeros are read behind its end."""
    padded = np.zeros(len(data) + 2, np.uint32)
    padded[:-2] = np.frombuffer(data, np.uint8)
    words = padded[:-2] << 16 | padded[1:-1] << 8 | padded[2:]
    shifts = np.arange(MAX_CODE_BITS, MAX_CODE_BITS - 8, -1, dtype=np.uint32)
    windows = ((words[:, None] >> shifts) & (_WINDOWS - 1)).astype(np.uint16)
    return windows.ravel().data


def _check_end(data: bytes | memoryview, end: int) -> None:
    used_bytes = (end + 7) // 8
    if used_bytes > len(data):
        raise TruncatedBitstream("the bitstream ends within its last symbol")
    if used_bytes < len(data):
        raise CorruptBitstream(f"{len(data) - used_bytes} bytes are left over behind the last symbol")
    if data[-1] & ((1 << (used_bytes * 8 - end)) - 1):
        raise CorruptBitstream("the padding behind the last symbol is not zero")
