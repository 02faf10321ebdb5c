"""Frames from a folder of pictures, in the order of their names, through Pillow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from device_agent.sources import Pixels, SourceFrame, crop_centre, scaled_size
from wire.errors import SourceError
from wire.manifest import Input

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})


class FolderSource:
    """Shows every picture of a folder for 1 / fps seconds."""

    def __init__(self, folder: Path, *, fps: float, endless: bool) -> None:
        self._folder = folder
        self._fps = fps
        self._endless = endless

    def frames(self, expected: Input) -> Iterator[SourceFrame]:
        """Yield the pictures; raises SourceError if there is none, or for one that cannot be read."""
        paths = self._pictures()
        index = 0
        while True:
            for path in paths:
                yield SourceFrame(index / self._fps if self._fps else 0.0, read_picture(path, expected))
                index += 1
            if not self._endless:
                return

    def _pictures(self) -> list[Path]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise SourceError(
                f"the folder {str(self._folder)!r} cannot be read: {error}", mend="see that this user may read it"
            ) from error
        if not paths:
            raise SourceError(
                f"the folder {str(self._folder)!r} has no pictures",
                mend=f"give one with files that end in {', '.join(sorted(SUFFIXES))}",
            )
        return paths


def read_picture(path: Path, expected: Input) -> Pixels:
    """Read one picture, scaled and cropped to uint8 (1, height, width, 3); raises SourceError."""
    try:
        with Image.open(path) as opened:
            size = scaled_size(opened.width, opened.height, expected)
            # A JPEG is decoded at a fraction of its size where that is enough: much less to scale.
            opened.draft("RGB", size)
            scaled = opened.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise SourceError(
            f"the picture {str(path)!r} cannot be read: {error}", mend="mend it, or leave it out"
        ) from error
    return crop_centre(np.asarray(scaled), expected)
