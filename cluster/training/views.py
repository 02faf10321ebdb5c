"""The training frames: random views of every picture, each the same whenever it is asked for.

Owns the augmentation. Imports no torch.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.pictures import open_picture
from wire.errors import BadPicture, DataError

AUGMENTATION: Final = 1
"""To be raised when the same seed no longer gives the same views, so that no cache is taken for another."""
FIRST_VIEW_SHARES: Final = (0.85, 1.0)
OTHER_VIEW_SHARES: Final = (0.5, 1.0)
"""How much of the shorter side a crop takes."""
FIRST_MIXED_VIEW: Final = 3
MIXED_SHARES: Final = (70 / 224, 180 / 224)
"""Least and greatest side of the rectangle from another picture, as shares of the frame's."""
TINTED_VIEW_IN: Final = 6
TINT: Final = (0.6, 1.4)
AHEAD: Final = 2

Pixels = NDArray[np.uint8]


class Views:
    """``views`` frames, uint8 (height, width, 3), of each picture; row v·P + p is view v of picture p of P.

    View 0 is a large crop; from the fourth view on a rectangle of the picture before is pasted in; every sixth view is
    tinted. A picture that does not decode is replaced by the next one.
    """

    def __init__(self, pictures: Sequence[Path], views: int, seed: int, *, height: int, width: int) -> None:
        self.pictures, self.views, self.seed = tuple(pictures), views, seed
        self.height, self.width = height, width
        self._broken: set[int] = set()

    def __len__(self) -> int:
        return len(self.pictures) * self.views

    def frame(self, row: int) -> Pixels:
        """Make one frame.

        Raises:
            DataError: more than a tenth of the pictures do not decode.
        """
        view, index = divmod(row, len(self.pictures))
        pixels = self._cropped(view, index)
        random = np.random.default_rng((self.seed, view, index, 1))
        if view >= FIRST_MIXED_VIEW:
            pixels = self._mixed(pixels, self._cropped(view, (index - 1) % len(self.pictures)), random)
        if view % TINTED_VIEW_IN == TINTED_VIEW_IN - 1:
            pixels = (pixels * random.uniform(*TINT, 3)).clip(0, 255).astype(np.uint8)
        return pixels

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[Pixels]:
        """Give frames (n, height, width, 3) in the order of ``rows``, made ahead by as many threads as processors."""
        chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
        waiting: deque[list[Future[Pixels]]] = deque()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                for chunk in chunks:
                    waiting.append([pool.submit(self.frame, int(row)) for row in chunk])
                    if len(waiting) > AHEAD:
                        yield _stacked(waiting.popleft())
                while waiting:
                    yield _stacked(waiting.popleft())
            finally:
                for future in (future for batch in waiting for future in batch):
                    future.cancel()

    def _mixed(self, pixels: Pixels, other: Pixels, random: np.random.Generator) -> Pixels:
        """Paste a random rectangle of ``other`` into a copy, at the place where it was."""
        low, high = MIXED_SHARES
        height, width = (max(1, int(side * random.uniform(low, high))) for side in (self.height, self.width))
        top = int(random.integers(0, self.height - height + 1))
        left = int(random.integers(0, self.width - width + 1))
        mixed = pixels.copy()
        mixed[top : top + height, left : left + width] = other[top : top + height, left : left + width]
        return mixed

    def _cropped(self, view: int, index: int) -> Pixels:
        random = np.random.default_rng((self.seed, view, index, 0))
        shares = OTHER_VIEW_SHARES if view else FIRST_VIEW_SHARES
        return random_crop(self._picture(index), random, shares, height=self.height, width=self.width)

    def _picture(self, index: int) -> Image.Image:
        most = len(self.pictures) // 10
        while True:
            try:
                return open_picture(self.pictures[index])
            except BadPicture as error:
                self._broken.add(index)
                if len(self._broken) > most:
                    raise DataError(
                        f"more than a tenth of the pictures do not decode; the last: {error}",
                        mend="remove those that are damaged",
                    ) from error
                index = (index + 1) % len(self.pictures)


def random_crop(
    picture: Image.Image, random: np.random.Generator, shares: tuple[float, float], *, height: int, width: int
) -> Pixels:
    """Cut a random square, ``shares`` of the shorter side, scale it, and mirror half of them: uint8 (H, W, 3)."""
    side = max(1, int(min(picture.size) * random.uniform(*shares)))
    left = int(random.integers(0, picture.width - side + 1))
    top = int(random.integers(0, picture.height - side + 1))
    box = (left, top, left + side, top + side)
    crop = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
    return crop[:, ::-1] if random.random() < 0.5 else crop


def _stacked(futures: list["Future[Pixels]"]) -> NDArray[Any]:
    return np.stack([future.result() for future in futures])
