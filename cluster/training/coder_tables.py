"""Integer frequency tables for the entropy coders, and what symbols cost by them.

Owns the counting of symbols.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.codecs.codec import Codec

TABLE_TOTAL: Final = 60_000


def coder_tables(codec: Codec, batches: Iterable[Tensor]) -> dict[str, NDArray[np.uint16]]:
    """Count the symbols of features for every rate with Huffman codes: uint16 (tables, alphabet), no entry zero.

    There is a table a channel; one for all where a channel is a single value, as in a vector.
    """
    names = [rate.name for rate in codec.rates if rate.coder == "huffman"]
    if not names:
        return {}
    channels, height, width = codec.symbol_shape
    rows = channels if height * width > 1 else 1
    counts = np.zeros((rows, codec.alphabet), np.int64)
    with torch.inference_mode():
        for batch in batches:
            symbols = codec.encoder(batch)
            counts += symbol_counts(symbols if rows == channels else symbols.flatten()[None, None], codec.alphabet)
    scaled = counts * TABLE_TOTAL // counts.sum(axis=1, keepdims=True)
    tables = np.maximum(scaled, 1).astype(np.uint16)
    return dict.fromkeys(names, tables)


def symbol_counts(symbols: Tensor, alphabet: int) -> NDArray[np.int64]:
    """Count each channel's symbols, integers (N, C, ...) below ``alphabet``: int64 (C, alphabet)."""
    channels = symbols.shape[1]
    rows = symbols.transpose(0, 1).reshape(channels, -1).to(torch.int64)
    rows = rows + torch.arange(channels, device=rows.device)[:, None] * alphabet
    counts = torch.bincount(rows.flatten(), minlength=channels * alphabet)
    return counts.reshape(channels, alphabet).cpu().numpy()


def entropy_bits(symbols: Tensor, alphabet: int) -> float:
    """Estimate the bits of one frame from the zero-order entropy of its channels; ``symbols`` is (N, C, h, w)."""
    counts = symbol_counts(symbols, alphabet)
    share = counts / counts.sum(axis=1, keepdims=True)
    bits = -(share * np.log2(np.where(counts, share, 1.0))).sum(axis=1)
    return float(bits.sum()) * symbols[0, 0].numel()
