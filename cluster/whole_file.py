"""Writing a file that came as bytes, so that a reader never sees half of it."""

import os
from pathlib import Path

from wire.errors import CheckpointError


def write_whole(path: Path, content: bytes) -> Path:
    """Write ``content``, with the folders above it, and give the path back.

    Raises:
        CheckpointError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path} cannot be written: {error}", mend="free some space and run again") from error
    return path
