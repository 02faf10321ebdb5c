"""What a stream remembers of its last frame, so that a further look can say only what is new.

A refinement needs what the look before it was decoded to. A device sends it right behind the answer, on the same
stream, so one frame a stream is enough, and it is forgotten with the next. Owns that memory, and whose stream it is.
"""

from wire.bitstream import peek
from wire.bundle import Bundle
from wire.errors import LookMissing
from wire.ids import OptionId
from wire.manifest import Option
from wire.messages import Frame
from wire.tensor_form import Tensor


class StreamMemory:
    """The last frame of a stream, as its last look was decoded; ``device`` is whose it is, once it has said so."""

    def __init__(self, device: str = "") -> None:
        self.device = device
        self._of = (-1, OptionId(0))
        self._next = 0
        self._decoded: Tensor | None = None

    def decode(self, bundle: Bundle, option: Option, frame: Frame) -> Tensor:
        """Decode a frame's first look, or the next one of the frame before it.

        Raises:
            BadBitstream, BadPicture, UnsupportedVersion, UnknownOption: the bitstream cannot be used.
            LookMissing: it refines a frame that is not the last one here, or is not its next look.

        """
        look = peek(frame.bitstream).look if option.refinements else 0
        of = frame.frame_id, option.id
        if look == 0:
            tensor = bundle.coding(option).decode(frame.bitstream)
        elif self._decoded is None or (*of, look) != (*self._of, self._next):
            raise LookMissing(f"look {look} of frame {of[0]} is not here", mend="send the frame again from its start")
        else:
            tensor = bundle.refinements(option)[look - 1].decode(frame.bitstream, self._decoded)
        self._of, self._next = of, look + 1
        # What has no look to come is not kept: a frame of pixels is large.
        self._decoded = tensor if look < len(option.refinements) else None
        return tensor
