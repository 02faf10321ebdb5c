"""The state of a training run on disk, so that a stopped run goes on where it was.

Owns the file ``checkpoint.pt`` of a run folder. What the state holds is the loop's.
"""

import os
from pathlib import Path
from typing import Any, Final

import torch

from wire.errors import CheckpointError

NAME: Final = "checkpoint.pt"


def save_checkpoint(folder: Path, identity: str, state: dict[str, Any]) -> None:
    """Write the state of the run ``identity``; a reader never sees half a file.

    Raises:
        CheckpointError: the file cannot be written.
    """
    partial = folder / f".{NAME}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"identity": identity, **state}, partial)
        os.replace(partial, folder / NAME)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"the state of the run cannot be written to {folder}: {error}",
            mend="free some space and run the same command: it goes on from the state before",
        ) from error


def load_checkpoint(folder: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """Read the state of a run; None where there is none.

    Raises:
        CheckpointError: the folder holds another run, or the file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        same = state.pop("identity") == identity
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {error}", mend="remove it to start again") from error
    if not same:
        raise CheckpointError(f"{folder} holds a run with other settings", mend="remove it or give another --run")
    return state
