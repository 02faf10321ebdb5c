"""From the bytes of a picture to a frame: decoding within bounds, scaling and cropping.

Owns the way that a still picture becomes what a backbone takes. Imports no torch.
"""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wire.errors import BadPicture

MAX_PIXELS: Final = 40_000_000
FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP")
"""No others: some of Pillow's decoders start programs or fail in ways of their own."""

_UNDECODABLE: Final = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, OverflowError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's decoders raise of what is no picture."""
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns, and keeps each warning; ours is checked below


def open_picture(source: Path | BinaryIO) -> Image.Image:
    """Decode a picture of one of ``FORMATS`` to RGB.

    Raises:
        BadPicture: it does not decode, or has more than ``MAX_PIXELS`` pixels.
    """
    name = source if isinstance(source, Path) else "the picture"
    try:
        with Image.open(source, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise BadPicture(f"{name} has {picture.width}×{picture.height} pixels", mend="scale it down")
            return picture.convert("RGB")
    except _UNDECODABLE as error:
        raise BadPicture(f"{name} does not decode: {error}", mend="give a whole JPEG, PNG or WebP") from error


def centre_crop(picture: Image.Image, *, resize: int, height: int, width: int) -> NDArray[np.uint8]:
    """Scale the shorter side to ``resize`` and cut the middle out: uint8 (height, width, 3)."""
    scale = min(picture.size) / resize
    across, down = width * scale, height * scale
    left, top = (picture.width - across) / 2, (picture.height - down) / 2
    if scale == 1.0:
        return np.asarray(picture.crop((int(left), int(top), int(left) + width, int(top) + height)))
    # Only the part that is kept is scaled, so that a long thin picture does not become a huge one.
    box = (max(0.0, left), max(0.0, top), min(picture.width, left + across), min(picture.height, top + down))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=box))
