"""JALAD's codec (Li et al., ICPADS 2018): the feature map in steps of c bits, then Huffman coding; no training.

Owns its setting. The paper sends the least and the greatest value of each map; here they are those of a sample, and
the code's table is a channel's own, which costs JALAD nothing and saves it bytes.
"""

import re
from dataclasses import dataclass

from cluster.codecs.codec import Rate
from cluster.codecs.step_quantiser import StepCodec
from wire.errors import SettingError


@dataclass(frozen=True, slots=True)
class JaladSetting:
    """How many bits a value keeps: c, 1 to 8."""

    bits: int

    @classmethod
    def parse(cls, text: str) -> "JaladSetting":
        """Read ``c4``.

        Raises:
            SettingError: the text is not of that form.
        """
        match = re.fullmatch(r"c([1-8])", text)
        if match is None:
            raise SettingError(f"{text!r} is no setting of jalad", mend="write c1 to c8: so many bits a value")
        return cls(int(match[1]))

    def __str__(self) -> str:
        return f"c{self.bits}"


class Jalad(StepCodec):
    """Symbols are (N, C, H, W), integers 0 to 2ᶜ − 1."""

    name = "jalad"

    def __init__(self, shape: tuple[int, ...], setting: JaladSetting) -> None:
        super().__init__(shape, setting, bits=setting.bits)

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: Huffman codes."""
        return (Rate("huffman", "huffman"),)
