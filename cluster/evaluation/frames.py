"""The frames of an evaluation set, with their true classes, a chunk at a time.

Owns the choice of pictures and what of them is kept in memory. Imports no torch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cluster.pictures import centre_crop, open_picture
from cluster.training.pictures import LABELS_NAME, find_labelled
from wire.errors import BadPicture, DataError
from wire.manifest import Input

CHUNK: Final = 16
"""Frames that are worked on together: enough for a batch, and few enough for the features of a shallow cut."""
KEPT_BYTES: Final = 2**29
"""Frames are decoded once while they take no more than this, about 3500 of 224×224; the rest anew in each pass."""

Pixels = NDArray[np.uint8]


class EvaluationFrames:
    """Labelled pictures as frames of a backbone: ``labels`` is (frames,), the index of each one's class."""

    def __init__(self, folder: Path, frame: Input, *, classes: int, pictures: int | None = None) -> None:
        """Find the pictures of ``folder``; with ``pictures`` only so many, evenly spread.

        Raises:
            DataError: the folder is no evaluation set, or not one of a backbone with so many classes.
        """
        every = find_labelled(folder)
        strange = [picture for picture in every if not 0 <= picture.label < classes]
        if strange:
            raise DataError(
                f"{strange[0].path.name} in {folder / LABELS_NAME} has the label {strange[0].label}, and the backbone "
                f"{classes} classes",
                mend="give pictures of the backbone's own classes, labelled by their index",
            )
        self.dataset = folder.resolve().name
        self._frame = frame
        self._paths = [every[row].path for row in spread(len(every), pictures)]
        self.labels = np.array([every[row].label for row in spread(len(every), pictures)])
        self._kept: list[Pixels] = []

    def __len__(self) -> int:
        return len(self._paths)

    def chunks(self) -> Iterator[Pixels]:
        """Yield all frames in their order, uint8 (up to ``CHUNK``, H, W, 3).

        Raises:
            DataError: a picture does not decode.
        """
        for number, start in enumerate(range(0, len(self), CHUNK)):
            if number < len(self._kept):
                yield self._kept[number]
                continue
            chunk = np.stack([self._decoded(path) for path in self._paths[start : start + CHUNK]])
            if number == len(self._kept) and (number + 1) * chunk.nbytes <= KEPT_BYTES:
                self._kept.append(chunk)
            yield chunk

    def sample(self, count: int) -> Pixels:
        """Give some frames, evenly spread: uint8 (up to ``count``, H, W, 3).

        Raises:
            DataError: a picture does not decode.
        """
        return np.stack([self._decoded(self._paths[row]) for row in spread(len(self), count)])

    def _decoded(self, path: Path) -> Pixels:
        frame = self._frame
        try:
            return centre_crop(open_picture(path), resize=frame.resize, height=frame.height, width=frame.width)
        except BadPicture as error:
            raise DataError(error.message, mend=f"mend it, or take it out of {LABELS_NAME}") from error


def spread(total: int, count: int | None) -> list[int]:
    """Give ``count`` of ``total`` rows, evenly spread; all of them where there are no more, or with None."""
    if count is None or count >= total:
        return list(range(total))
    return [row * total // count for row in range(count)]
