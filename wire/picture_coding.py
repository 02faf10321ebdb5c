"""Codings that Pillow knows: JPEG, PNG and WebP, of a frame's own pixels or of symbols laid out as a grey picture.

Owns every picture that crosses the link. Pillow is imported with the first picture: a side that codes none has no
need of it.
"""

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from wire.bitstream import Buffer, Coder, Header, unwrap, wrap
from wire.codings import Coding
from wire.errors import BadPicture, BundleError
from wire.ids import OptionId
from wire.picture_outline import MEND, check_outline
from wire.tensor_form import Tensor, TensorForm
from wire.tiling import tile, tiled_size, untile

if TYPE_CHECKING:
    from PIL import Image

MAX_PICTURE_SIDE: Final = 16383
"""WebP's own limit, the least of the three."""


class PictureCoding(Coding):
    """Pixels as a colour picture, or symbols as a grey one; what comes back differs, but for PNG.

    ``quality`` is Pillow's, 1 to 100, for JPEG and WebP.
    """

    def __init__(self, option_id: OptionId, form: TensorForm, coder: Coder, quality: int | None) -> None:
        """Raise BundleError for symbols that no picture could hold."""
        self.form = form
        self._header = Header(coder, option_id)
        self._grey = form.name == "symbols"
        self._height, self._width = tiled_size(form.shape) if self._grey else form.planes[1:]
        if max(self._height, self._width) > MAX_PICTURE_SIDE:
            raise BundleError(
                f"the symbols of option {option_id} would make a picture of {self._width}×{self._height}",
                mend="give the option another coder",
            )
        self._settings = _settings(coder, quality, grey=self._grey)

    def encode(self, tensor: Tensor) -> bytes:
        """Compress one frame."""
        from PIL import Image

        self.form.check(tensor)
        picture = Image.fromarray(tile(tensor) if self._grey else tensor)
        if self._grey and self._header.coder is Coder.WEBP:
            picture = picture.convert("RGB")  # WebP has no grey
        file = io.BytesIO()
        picture.save(file, self._header.coder.name, **self._settings)
        return wrap(self._header, file.getbuffer())

    def decode(self, bitstream: Buffer) -> Tensor:
        """Decompress one frame; the picture must have the expected format, size and colours."""
        pixels = self._opened(unwrap(bitstream, self._header))
        return untile(pixels, self.form.shape) if self._grey else pixels

    def _opened(self, body: memoryview) -> Tensor:
        from PIL import Image

        name = self._header.coder.name
        check_outline(body, self._header.coder, (self._width, self._height))
        try:
            with Image.open(io.BytesIO(body), formats=(name,)) as picture:
                self._check(picture)
                picture.load()
                return np.asarray(picture.convert("L") if self._grey and picture.mode != "L" else picture)
        except _foreign_errors() as error:
            raise BadPicture(f"the {name} does not decode: {error}", mend=MEND) from error

    def _check(self, picture: "Image.Image") -> None:
        """Refuse before a pixel is decoded what the coder of this option would never make."""
        if (picture.width, picture.height) != (self._width, self._height):
            raise BadPicture(
                f"the {picture.format} is {picture.width}×{picture.height}, not {self._width}×{self._height}",
                mend=MEND,
            )
        mode = "L" if self._grey and self._header.coder is not Coder.WEBP else "RGB"
        if picture.mode != mode:
            raise BadPicture(f"the {picture.format} has the colours {picture.mode}, not {mode}", mend=MEND)
        # A progressive JPEG may pass over the whole picture as often as its bytes allow.
        if picture.info.get("progressive"):
            raise BadPicture("the JPEG is progressive", mend=MEND)


def _settings(coder: Coder, quality: int | None, *, grey: bool) -> dict[str, Any]:
    match coder:
        case Coder.PNG:
            return {"optimize": True}
        case Coder.WEBP:
            return {"quality": quality, "method": 4}
        case Coder.JPEG:
            # A few hundred symbols must not carry tables for all of JPEG's; a frame's are worth their place, and the
            # second pass over it is not.
            return {"quality": quality, "optimize": grey}
        case _:
            raise ValueError(f"{coder.name} is no coder of pictures")


def _foreign_errors() -> tuple[type[Exception], ...]:
    """Give what Pillow's decoders raise for bytes that are no picture."""
    from PIL import Image

    return (
        OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError, struct.error,
        zlib.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
    )  # fmt: skip
