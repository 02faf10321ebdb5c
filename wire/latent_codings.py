"""The codings of real symbols that are quantised with gains: a first look in rANS, and the refinements of it.

Other gains are another rate of the same symbols. A refinement says what a finer rate has over the look before it, so
its decoder takes what that look came to. Owns the quantiser.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from wire.bitstream import Buffer, Coder, Header, unwrap, wrap
from wire.codings import Coding
from wire.errors import BundleError
from wire.ids import OptionId
from wire.rans import RansCoder
from wire.rans_tables import Integers
from wire.refinement import MAX_LEVEL, RefinementCoder, slopes
from wire.tensor_form import Tensor, TensorForm

_MEND: Final = "make the bundle again"


class Gains:
    """Gains float32 (2, C), finite and positive: what the device multiplies with, and what the cluster does."""

    def __init__(self, gains: Tensor, channels: int) -> None:
        """Raise BundleError for gains that are anything else."""
        if gains.dtype != np.float32 or gains.shape != (2, channels):
            raise BundleError(f"gains must be float32 (2, {channels}), not {gains.dtype} {gains.shape}", mend=_MEND)
        if not (np.isfinite(gains).all() and (gains > 0).all()):
            raise BundleError("a gain is not finite and positive", mend=_MEND)
        self.to_levels, self._from_levels = np.array(gains, np.float32)[:, :, None, None]

    def quantised(self, symbols: Tensor, most: npt.NDArray[np.float32] | float) -> Tensor:
        """Give the nearest levels, float32, within ``most``; no number counts as 0, an infinite one as the greatest."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is infinite, and clipped
            scaled = symbols * self.to_levels
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        np.rint(scaled, out=scaled)
        return np.clip(scaled, -most, most, out=scaled)

    def dequantised(self, levels: Integers) -> Tensor:
        """Give the symbols, float32, that levels stand for."""
        with np.errstate(over="ignore"):
            symbols: Tensor = np.multiply(levels, self._from_levels, dtype=np.float32)
        return symbols

    def levels_of(self, symbols: Tensor) -> npt.NDArray[np.int32]:
        """Give back the levels that ``dequantised`` made these symbols of."""
        return np.rint(symbols / self._from_levels).astype(np.int32)


class RansCoding(Coding):
    """Real symbols, quantised with a gain a channel and coded by ``coder``."""

    def __init__(self, option_id: OptionId, form: TensorForm, coder: RansCoder, gains: Tensor) -> None:
        """Raise BundleError for gains or tables that do not fit the channels."""
        self.form = form
        self.gains = Gains(gains, form.planes[0])
        self._header = Header(Coder.RANS, option_id)
        self._coder = coder
        self._peaks = coder.peaks.astype(np.float32)[:, None, None]
        _check_channels(option_id, coder.channels, form)

    def encode(self, tensor: Tensor) -> bytes:
        """Quantise and code symbols; a value that is no number counts as 0, and an infinite one as the greatest."""
        self.form.check(tensor)
        return wrap(self._header, self._coder.encode(self.gains.quantised(tensor, self._peaks).astype(np.int8)))

    def decode(self, bitstream: Buffer) -> Tensor:
        """Give the symbols that the quantiser left."""
        _, height, width = self.form.planes
        return self.gains.dequantised(self._coder.decode(unwrap(bitstream, self._header), height, width))

    def levels(self, tensor: Tensor) -> npt.NDArray[np.int32]:
        """Give the levels that ``encode`` codes, for a refinement of them."""
        return self.gains.quantised(tensor, self._peaks).astype(np.int32)


class RefinementCoding:
    """A further look at the same symbols: another quantiser's levels, by those of ``before``."""

    def __init__(
        self,
        option_id: OptionId,
        look: int,
        form: TensorForm,
        coder: RefinementCoder,
        gains: Tensor,
        before: "RansCoding | RefinementCoding",
    ) -> None:
        """``coder`` is what ``refinement_coder`` makes of the gains; raises BundleError if it does not fit."""
        self.form = form
        self.gains = Gains(gains, form.planes[0])
        self._header = Header(Coder.RANS, option_id, look)
        self._before = before
        self._coder = coder
        _check_channels(option_id, coder.channels, form)

    def encode(self, tensor: Tensor) -> bytes:
        """Quantise symbols, and code what ``before`` does not say of them."""
        self.form.check(tensor)
        coarse = self._before.levels(tensor)
        return wrap(self._header, self._coder.encode(self._beside(tensor, coarse), coarse))

    def decode(self, bitstream: Buffer, earlier: Tensor) -> Tensor:
        """Give the symbols of this look; ``earlier`` is what the look before it was decoded to.

        Raises:
            TruncatedBitstream, CorruptBitstream, UnsupportedVersion, UnknownOption: as any coding does.
            LookMissing: the bitstream is of another look.

        """
        body = unwrap(bitstream, self._header)
        return self.gains.dequantised(self._coder.decode(body, self._before.gains.levels_of(earlier)))

    def levels(self, tensor: Tensor) -> npt.NDArray[np.int32]:
        """Give the levels that ``encode`` codes, for a refinement of them."""
        return self._beside(tensor, self._before.levels(tensor))

    def _beside(self, tensor: Tensor, coarse: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return self._coder.nearest(self.gains.quantised(tensor, MAX_LEVEL).astype(np.int32), coarse)


def refinement_coder(tables: Integers, gains: Tensor, before: RansCoding | RefinementCoding) -> RefinementCoder:
    """Make the coder of levels with ``gains`` beside those of ``before``.

    Raises BundleError for tables or gains that do not fit the channels, or one another.
    """
    coarse = before.gains.to_levels[:, 0, 0]
    fine = Gains(gains, coarse.size).to_levels[:, 0, 0]
    return RefinementCoder(tables, slopes(fine, coarse))


def _check_channels(option_id: OptionId, channels: int, form: TensorForm) -> None:
    if channels != form.planes[0]:
        raise BundleError(
            f"option {option_id} has coder tables of {channels} channels for {form.planes[0]}", mend=_MEND
        )
