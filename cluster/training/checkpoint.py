"""The state of a training run on disk, so that a stopped run goes on where it was.

Owns the file ``checkpoint.pt`` of a run folder.
"""

import os
from pathlib import Path
from typing import Final

import torch
from torch import nn

from wire.errors import CheckpointError

NAME: Final = "checkpoint.pt"


def save_checkpoint(
    folder: Path, identity: str, codec: nn.Module, optimizer: torch.optim.Optimizer, epochs_done: int
) -> None:
    """Write the state after an epoch; a reader never sees half a file.

    Raises:
        CheckpointError: the file cannot be written.
    """
    state = {
        "identity": identity,
        "codec": codec.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs_done": epochs_done,
    }
    partial = folder / f"{NAME}.partial"
    try:
        torch.save(state, partial)
        os.replace(partial, folder / NAME)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(
            f"the state of the run cannot be written to {folder}: {error}",
            mend="free some space and run the same command: it goes on from the epoch before",
        ) from error


def load_checkpoint(folder: Path, identity: str, codec: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore the state of a run and return how many epochs it has done; 0 where there is none.

    Raises:
        CheckpointError: the folder holds another run, or the file is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        same = state["identity"] == identity
    except Exception as error:
        raise CheckpointError(f"{path} is damaged: {error}", mend="remove it to start again") from error
    if not same:
        raise CheckpointError(f"{folder} holds a run with other settings", mend="remove it or give another --run")
    codec.load_state_dict(state["codec"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epochs_done"])
