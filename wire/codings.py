"""Codings: how one option's frame becomes a bitstream on the device, and a tensor again on the cluster.

Owns what a coding is, and those without pictures. A coding holds what its option needs (tables, gains) and nothing
of a frame, so one serves every frame of its option.
"""

from typing import Protocol

import numpy as np

from wire.bitstream import Buffer, Coder, Header, unwrap, wrap
from wire.errors import BundleError, CorruptBitstream, TruncatedBitstream
from wire.huffman import HuffmanCoder
from wire.ids import OptionId
from wire.rans import RansCoder
from wire.tensor_form import Tensor, TensorForm

_MEND = "make the bundle again"


class Coding(Protocol):
    """One option's way from a tensor of ``form`` to bytes and back."""

    form: TensorForm

    def encode(self, tensor: Tensor) -> bytes:
        """Make the whole bitstream of one frame.

        Raises ValueError for a tensor of another form, or with values that the coder cannot hold.
        """

    def decode(self, bitstream: Buffer) -> Tensor:
        """Read what the cluster graph takes for one frame; it may be read-only, and lie in ``bitstream`` itself.

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: the checksum, the shape or the body are wrong.
            BadPicture: the body is no picture, or not the one expected.
            UnsupportedVersion: a whole bitstream of another version.
            UnknownOption: a whole bitstream of another option.

        """

    def blank(self) -> Tensor:
        """Give a tensor of zeros that can be encoded, to warm up with."""
        return np.zeros(self.form.shape, self.form.dtype)


class HuffmanCoding(Coding):
    """Symbols in static Huffman codes; ``coder`` has a table a channel, or one for all."""

    def __init__(self, option_id: OptionId, form: TensorForm, coder: HuffmanCoder) -> None:
        """Raise BundleError for tables that do not fit the channels."""
        self.form = form
        self._header = Header(Coder.HUFFMAN, option_id)
        self._coder = coder
        channels, height, width = form.planes
        if coder.tables not in (1, channels):
            raise BundleError(f"option {option_id} has {coder.tables} coder tables for {channels} channels", mend=_MEND)
        self._row_symbols = channels * height * width // coder.tables

    def encode(self, tensor: Tensor) -> bytes:
        """Code symbols, which must lie in the alphabet of the tables."""
        self.form.check(tensor)
        return wrap(self._header, self._coder.encode(tensor.reshape(self._coder.tables, -1)))

    def decode(self, bitstream: Buffer) -> Tensor:
        """Give the symbols back as they were."""
        return self._coder.decode(unwrap(bitstream, self._header), self._row_symbols).reshape(self.form.shape)


class RansCoding(Coding):
    """Real symbols, quantised with a gain a channel and coded by ``coder``: other gains are another rate.

    ``gains`` is float32 (2, C), finite and positive: what the device multiplies with, and what the cluster does.
    """

    def __init__(self, option_id: OptionId, form: TensorForm, coder: RansCoder, gains: Tensor) -> None:
        """Raise BundleError for gains or tables that do not fit the channels."""
        self.form = form
        self._header = Header(Coder.RANS, option_id)
        self._coder = coder
        self._peaks = coder.peaks.astype(np.float32)[:, None, None]
        channels = form.planes[0]
        _check_gains(gains, channels)
        if coder.channels != channels:
            raise BundleError(
                f"option {option_id} has coder tables of {coder.channels} channels for {channels}", mend=_MEND
            )
        self._to_levels, self._from_levels = np.array(gains, np.float32)[:, :, None, None]

    def encode(self, tensor: Tensor) -> bytes:
        """Quantise and code symbols; a value that is no number counts as 0, and an infinite one as the greatest."""
        self.form.check(tensor)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is infinite, and clipped
            scaled = tensor * self._to_levels
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        np.rint(scaled, out=scaled)
        np.clip(scaled, -self._peaks, self._peaks, out=scaled)
        return wrap(self._header, self._coder.encode(scaled.astype(np.int8)))

    def decode(self, bitstream: Buffer) -> Tensor:
        """Give the symbols that the quantiser left."""
        _, height, width = self.form.planes
        levels = self._coder.decode(unwrap(bitstream, self._header), height, width)
        symbols: Tensor = np.multiply(levels, self._from_levels, dtype=np.float32)
        return symbols


class RawCoding(Coding):
    """Symbols or pixels as they are, a byte each."""

    def __init__(self, option_id: OptionId, form: TensorForm) -> None:
        self.form = form
        self._header = Header(Coder.RAW, option_id)

    def encode(self, tensor: Tensor) -> bytes:
        """Write the bytes in the order of the axes."""
        self.form.check(tensor)
        return wrap(self._header, _bytes_of(tensor))

    def decode(self, bitstream: Buffer) -> Tensor:
        """Look at the bytes where they lie."""
        return _tensor_of(unwrap(bitstream, self._header), np.dtype(np.uint8), self.form)


class Float32Coding(Coding):
    """Real symbols as they are, four little-endian bytes each; any float32 passes, infinities included."""

    def __init__(self, option_id: OptionId, form: TensorForm) -> None:
        self.form = form
        self._header = Header(Coder.FLOAT32, option_id)

    def encode(self, tensor: Tensor) -> bytes:
        """Write the numbers in the order of the axes."""
        self.form.check(tensor)
        return wrap(self._header, _bytes_of(tensor.astype("<f4", copy=False)))

    def decode(self, bitstream: Buffer) -> Tensor:
        """Look at the numbers where they lie."""
        little_endian = _tensor_of(unwrap(bitstream, self._header), np.dtype("<f4"), self.form)
        return little_endian.astype(np.float32, copy=False)


def _check_gains(gains: Tensor, channels: int) -> None:
    if gains.dtype != np.float32 or gains.shape != (2, channels):
        raise BundleError(f"gains must be float32 (2, {channels}), not {gains.dtype} {gains.shape}", mend=_MEND)
    if not (np.isfinite(gains).all() and (gains > 0).all()):
        raise BundleError("a gain is not finite and positive", mend=_MEND)


def _bytes_of(tensor: Tensor) -> memoryview:
    # A view, not tobytes(): the only copy is the one into the bitstream.
    return np.ascontiguousarray(tensor).data.cast("B")


def _tensor_of(body: memoryview, dtype: np.dtype[np.generic], form: TensorForm) -> Tensor:
    if len(body) < form.size_bytes:
        raise TruncatedBitstream(f"{len(body)} bytes cannot hold {form.dtype} {form.shape}")
    if len(body) > form.size_bytes:
        raise CorruptBitstream(f"{len(body)} bytes are more than {form.dtype} {form.shape} take")
    return np.frombuffer(body, dtype).reshape(form.shape)
