"""The digest of weights: of their names and values, however a file may hold them."""

from collections.abc import Mapping
from hashlib import sha256

from torch import Tensor


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Give the SHA-256 of named tensors, in the order of their names."""
    digest = sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
