"""From the bytes of a picture to a frame: decoding within bounds, scaling and cropping.

Owns the way that a still picture becomes what a backbone takes. Imports no torch.
"""

from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from wire.errors import BadPicture

MAX_PIXELS: Final = 40_000_000


def open_picture(source: Path | BinaryIO) -> Image.Image:
    """Decode a picture to RGB.

    Raises:
        BadPicture: it does not decode, or has more than ``MAX_PIXELS`` pixels.
    """
    name = source if isinstance(source, Path) else "the picture"
    try:
        with Image.open(source) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadPicture(f"{name} has {picture.width}×{picture.height} pixels", mend="scale it down")
            return picture.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadPicture(f"{name} does not decode: {error}", mend="give a whole JPEG, PNG or WebP") from error


def centre_crop(picture: Image.Image, *, resize: int, height: int, width: int) -> NDArray[np.uint8]:
    """Scale the shorter side to ``resize`` and cut the middle out: uint8 (height, width, 3)."""
    scale = resize / min(picture.size)
    if scale != 1.0:
        size = (max(round(picture.width * scale), width), max(round(picture.height * scale), height))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))
