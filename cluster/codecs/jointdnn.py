"""JointDNN's codec (Eshratifar, Abrishami and Pedram, 2019): 8-bit fixed point, channels tiled, lossless PNG.

Nothing is trained. Owns nothing but the choice of these three; the only setting is ``8bit``.
"""

from cluster.codecs.codec import Rate
from cluster.codecs.step_quantiser import EightBits, StepCodec

__all__ = ["EightBits", "JointDnn"]


class JointDnn(StepCodec):
    """Symbols are (N, C, H, W), integers 0 to 255."""

    name = "jointdnn"

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Give the one rate: a PNG picture of the tiled channels."""
        return (Rate("png", "png"),)
