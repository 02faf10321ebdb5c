"""How a frame's own pixels are sent at the point ``input``: as a picture of some format and quality, or as they are.

Owns the names. Codes nothing.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from wire.errors import SettingError


@dataclass(frozen=True, slots=True)
class InputCoding:
    """One option at the point ``input``; ``quality``, 1 to 100, is that of jpeg and of webp, which alone have one."""

    coder: Literal["jpeg", "webp", "png", "raw"]
    quality: int | None = None

    @classmethod
    def parse(cls, text: str) -> "InputCoding":
        """Read ``jpeg-q75``, ``webp-q50``, ``png`` or ``raw``.

        Raises:
            SettingError: the text is none of these.
        """
        match = re.fullmatch(r"(jpeg|webp)-q([1-9]\d?|100)", text)
        if match is not None:
            return cls("jpeg" if match[1] == "jpeg" else "webp", int(match[2]))
        if text == "png":
            return cls("png")
        if text == "raw":
            return cls("raw")
        raise SettingError(
            f"{text!r} is no way to send a frame", mend="write jpeg-q75 or webp-q50 (quality 1 to 100), png or raw"
        )

    @property
    def rate(self) -> str:
        """The name of the option's rate."""
        match self.coder:
            case "jpeg" | "webp":
                return f"q{self.quality}"
            case "png":
                return "lossless"
            case "raw":
                return "rgb"


SHIPPED_INPUTS: Final = (InputCoding("jpeg", 75),)
"""Those that a bundle has unless others are asked for."""
