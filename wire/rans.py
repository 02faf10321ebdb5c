"""rANS for quantised levels: magnitudes by static tables and contexts, signs as they are.

The body is as ``wire.rans_symbols`` lays it out. Owns which symbol and which table a level has; knows nothing of
headers.
"""

import numpy as np
import numpy.typing as npt

from wire.activity import GROUP, Levels, activities, contexts, reached, spread
from wire.rans_symbols import Indices, SymbolCoder, SymbolReader
from wire.rans_tables import Integers, check_tables, peaks


class RansCoder:
    """Codes int8 levels (C, h, w) with a table for every channel and context.

    ``tables`` is an integer array of shape (C, K, M + 1) as ``wire.rans_tables`` describes it: 1 to 4096 channels, 1 to
    16 contexts, M from 2 to 128 magnitudes. Raises BundleError for anything else.
    """

    def __init__(self, tables: Integers) -> None:
        check_tables(tables)
        self.channels, self.contexts, self.levels = tables.shape[0], tables.shape[1], tables.shape[2] - 1
        self.peaks = peaks(tables)
        """The greatest magnitude of every channel, int64 (C,); 0 for the silent ones."""
        self._coded = int(np.count_nonzero(self.peaks))
        tables = tables[: self._coded]
        self._bounds = tables[..., -1].astype(np.int32)
        rows = self._coded * self.contexts
        self._first_rows = np.arange(0, rows, self.contexts, dtype=np.uint32)[:, None, None]
        self._symbol_coder = SymbolCoder(tables[..., :-1].reshape(rows, self.levels))

    def encode(self, levels: Levels) -> bytes:
        """Write int8 levels (C, h, w), h and w at least 1, of magnitudes up to the peak of their channel.

        Raises ValueError for another shape or dtype, or for a greater magnitude.
        """
        if levels.ndim != 3 or levels.shape[0] != self.channels or levels.size == 0 or levels.dtype != np.int8:
            raise ValueError(f"levels must be int8 of shape ({self.channels}, h, w), not {levels.dtype} {levels.shape}")
        # -128 has no positive int8; read as uint8 it is 128, and too great.
        magnitudes = np.abs(levels).view(np.uint8)
        self._check_peaks(magnitudes)
        levels = levels[: self._coded]
        signs = (levels < 0)[levels != 0].view(np.uint8)
        places = self._places(levels, magnitudes[: self._coded])
        return self._symbol_coder.encode(places, signs, in_group=self._in_group(*levels.shape[1:]))

    def _check_peaks(self, magnitudes: npt.NDArray[np.uint8]) -> None:
        highest = magnitudes.max(axis=(1, 2))
        if (highest > self.peaks).any():
            channel = int((highest > self.peaks).argmax())
            raise ValueError(
                f"a level of magnitude {highest[channel]} is outside the table of channel {channel}, "
                f"which ends at {self.peaks[channel]}"
            )

    def _places(self, levels: Levels, magnitudes: npt.NDArray[np.uint8]) -> Indices:
        """Give every coded level the place of its magnitude in the tables: (coded * h * w,)."""
        places = contexts(activities(levels), self._bounds).astype(np.intp)
        places += self._first_rows
        places *= self.levels
        places += magnitudes
        return places.ravel()

    def decode(self, data: bytes | memoryview, height: int, width: int) -> Levels:
        """Read int8 levels (C, height, width).

        Raises:
            TruncatedBitstream: bytes are missing.
            CorruptBitstream: a state is too low, bytes are left over, or the padding is not zero.

        """
        if height < 1 or width < 1:
            raise ValueError(f"a plane of {height} by {width} has no levels")
        symbols = self._coded * height * width
        reader = self._symbol_coder.open(data, symbols, in_group=self._in_group(height, width))
        magnitudes = self._popped(reader, height, width)
        levels = magnitudes.view(np.int8)
        places = np.flatnonzero(magnitudes)
        levels.reshape(-1)[places[reader.signs(places.size)]] *= -1
        return levels

    def _popped(self, reader: SymbolReader, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Pop the magnitudes (C, h, w), group by group: each gives the contexts of the next."""
        magnitudes = np.zeros((self.channels, height, width), np.uint8)
        coded = magnitudes[: self._coded]
        earlier = np.zeros((height, width), np.int32)
        bounds = np.ascontiguousarray(self._bounds.T[1:, :, None, None])
        for first in range(0, self._coded, GROUP):
            group = coded[first : first + GROUP]
            context = reached(spread(earlier), bounds[:, first : first + GROUP])
            rows = self._first_rows[first : first + GROUP] + context
            group[...] = reader.pop(rows.reshape(-1)).reshape(group.shape)
            earlier += np.add.reduce(group, axis=0, dtype=np.int32)
        return magnitudes

    def _in_group(self, height: int, width: int) -> int:
        return min(self._coded, GROUP) * height * width
