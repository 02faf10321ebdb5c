"""The first states of the rANS lanes: signs, as many as make the last states nearly full.

A state begins as a leading 1 and 16 to 31 signs. The first 16 of every lane come first in the frame, then the rest of
every lane. What a last state leaves unused of its 32 bits is thus half a bit on average, not 8. The decoder ends where
the encoder began, and sees by the leading 1 how many signs a state holds. Owns the split of the signs between states
and tail; knows nothing of magnitudes.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from wire.errors import CorruptBitstream, TruncatedBitstream
from wire.rans_tables import LOG_BITS, TOTAL, logarithms

SIGNS_AT_LEAST: Final = 16
EXTRA_SIGNS: Final = 15

# Real states stray from the logarithms by a twentieth of a bit; one that runs over wastes a whole word.
_MARGIN = (1 << LOG_BITS) // 12
_WORD = 16 << LOG_BITS

Words = npt.NDArray[np.uint32]
Bits = npt.NDArray[np.uint8]


def seeds(signs: Bits, costs: Words) -> tuple[Words, int]:
    """Give the first states, uint32 (lanes,), and how many of the signs, uint8 0 or 1 (n,), they carry.

    ``costs`` is what each lane's magnitudes will add to its state, modulo 2**32, in units of 2**-``LOG_BITS`` bits.
    Where the signs do not suffice, the states carry zeros in their place.
    """
    lanes = costs.size
    all_lead = lanes * SIGNS_AT_LEAST
    lead = np.zeros(all_lead, np.uint8)
    lead[: signs.size] = signs[:all_lead]
    states = np.packbits(lead).view(">u2").astype(np.uint32) | np.uint32(1 << SIGNS_AT_LEAST)
    extra = _extra_signs(states, costs)
    mask = _last_bits(extra)
    rest = np.zeros(int(extra.sum()), np.uint8)
    some = signs[all_lead : all_lead + rest.size]
    rest[: some.size] = some
    bits = np.zeros(mask.shape, np.uint8)
    bits[mask] = rest
    return states << extra | np.packbits(bits).view(">u2"), all_lead + rest.size


def _extra_signs(states: Words, costs: Words) -> Words:
    """Count the signs, 0 to 15, that still fit behind the first 16."""
    log_mantissas = logarithms()[states >> np.uint32(4)] - logarithms()[TOTAL]
    # The last state is to have 32 bits less the margin. Only its distance from the first 16 counts, modulo a word.
    full = np.uint32(_WORD - _MARGIN)
    return (full - log_mantissas - costs) % np.uint32(_WORD) >> np.uint32(LOG_BITS)


def carried_signs(states: Words, tail: memoryview, count: int) -> Bits:
    """Read ``count`` signs, uint8 0 or 1, from the first states (lanes,) and the bytes that follow the words.

    Raises:
        TruncatedBitstream: the tail is too short.
        CorruptBitstream: the tail is too long, or what stands in the place of signs is not zero.

    """
    extra = np.searchsorted(_LENGTHS, states, side="right").astype(np.uint32)
    lead = np.unpackbits((states >> extra).astype(">u2").view(np.uint8))
    mask = _last_bits(extra)
    rest = np.unpackbits(states.astype(">u2").view(np.uint8)).reshape(mask.shape)[mask]
    tail_bytes = max(0, count - lead.size - rest.size + 7) // 8
    if len(tail) < tail_bytes:
        raise TruncatedBitstream("the bitstream ends before its last sign")
    if len(tail) > tail_bytes:
        raise CorruptBitstream(f"{len(tail) - tail_bytes} bytes are left over behind the last sign")
    bits = np.concatenate((lead, rest, np.unpackbits(np.frombuffer(tail, np.uint8))))
    if bits[count:].any():
        raise CorruptBitstream("the padding behind the last sign is not zero")
    return bits[:count]


_LENGTHS = np.uint32(1) << np.arange(SIGNS_AT_LEAST + 1, SIGNS_AT_LEAST + EXTRA_SIGNS + 1, dtype=np.uint32)
_COLUMNS = np.arange(SIGNS_AT_LEAST, 0, -1, dtype=np.uint32)


def _last_bits(counts: Words) -> npt.NDArray[np.bool_]:
    """Mark the last bits of 16 (lanes, 16), as many as ``counts`` (lanes,) says."""
    return counts[:, None] >= _COLUMNS
