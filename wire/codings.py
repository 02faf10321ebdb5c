"""Codings: how one option's frame becomes a bitstream on the device, and a tensor again on the cluster.

Owns what a coding is, and those of bytes and floats; ``wire.latent_codings`` has those with gains, and
``wire.picture_coding`` pictures. A coding holds what its option needs (tables, gains) and nothing of a frame, so one
serves every frame of its option.
"""

from typing import Protocol

import numpy as np

from wire.bitstream import Buffer, Coder, Header, unwrap, wrap
from wire.errors import BundleError, CorruptBitstream, TruncatedBitstream
from wire.huffman import HuffmanCoder
from wire.ids import OptionId
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


def _bytes_of(tensor: Tensor) -> memoryview:
    # A view, not tobytes(): the only copy is the one into the bitstream.
    return np.ascontiguousarray(tensor).data.cast("B")


def _tensor_of(body: memoryview, dtype: np.dtype[np.generic], form: TensorForm) -> Tensor:
    if len(body) < form.size_bytes:
        raise TruncatedBitstream(f"{len(body)} bytes cannot hold {form.dtype} {form.shape}")
    if len(body) > form.size_bytes:
        raise CorruptBitstream(f"{len(body)} bytes are more than {form.dtype} {form.shape} take")
    return np.frombuffer(body, dtype).reshape(form.shape)
