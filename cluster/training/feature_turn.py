"""One training at a time computes features into a folder; the others of this machine wait, and find them there.

Owns the lock file of a folder of features. The kernel gives the lock back when a process dies.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cluster.training.progress import Listener, Progress
from wire.errors import CheckpointError

NAME: Final = ".turn"


@contextmanager
def feature_turn(folder: Path, listener: Listener) -> Iterator[Listener]:
    """Wait for the turn to compute features in ``folder``, and give a listener that passes it on.

    The turn ends with the first progress that is not of the features, or else with the block.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    with ExitStack() as turn:
        turn.enter_context(_locked(folder / NAME))

        def on_progress(progress: Progress) -> None:
            if progress.stage != "features":
                turn.close()
            listener(progress)

        yield on_progress


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield  # has no such lock, and no Ray cluster of ours
        return
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise CheckpointError(
            f"the features cannot be written to {path.parent}: {error}",
            mend="check space and permissions, or give --recompute to keep none",
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
