"""What interleaved rANS holds, read as ``wire.rans_symbols`` describes it: a symbol at a time, with plain integers."""

from collections.abc import Sequence

TOTAL = 4096


class OneByOne:
    """Reads one body: first its symbols and then its signs."""

    def __init__(self, data: bytes) -> None:
        lanes = data[0] + 1
        self._states = [int.from_bytes(data[1 + 4 * lane : 5 + 4 * lane], "little") for lane in range(lanes)]
        self._left = data[1 + 4 * lanes :]

    def symbol(self, number: int, frequencies: Sequence[int]) -> int:
        """Read a symbol, the ``number``-th of its group, that was coded by these frequencies."""
        lane = number % len(self._states)
        whole, slot = divmod(self._states[lane], TOTAL)
        symbol = 0
        while slot >= frequencies[symbol]:
            slot -= frequencies[symbol]
            symbol += 1
        self._states[lane] = frequencies[symbol] * whole + slot
        if self._states[lane] < 2**16:
            self._states[lane] = self._states[lane] << 16 | int.from_bytes(self._left[:2], "little")
            self._left = self._left[2:]
        return symbol

    def signs(self, count: int) -> list[int]:
        """Read so many signs, 1 or -1, when all symbols are read."""
        seeds = [f"{state:b}"[1:] for state in self._states]
        bits = "".join(seed[:16] for seed in seeds) + "".join(seed[16:] for seed in seeds)
        bits += "".join(f"{byte:08b}" for byte in self._left)
        return [-1 if bit == "1" else 1 for bit in bits[:count]]
