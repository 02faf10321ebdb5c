"""What one option does, as figures: the row of a table and the point of a plot.

Owns the record. Runs nothing.
"""

from dataclasses import dataclass

from cluster.evaluation.timing import Timing
from wire.manifest import Measured, Option


@dataclass(frozen=True, slots=True)
class OptionFigures:
    """One option on one evaluation set.

    Shares lie between 0 and 1, drops are of shares, against the unsplit backbone; bytes are those of whole bitstreams;
    times are medians for one frame at a time.
    """

    point: str
    codec: str
    rate: str
    coder: str
    symbols: tuple[int, int, int]
    """Channels, height and width of what is coded."""
    device_macs: int
    """Multiply-accumulates of head and encoder."""
    device_share: float
    """Of the backbone's multiply-accumulates; an encoder may bring it above 1."""
    top1: float
    top5: float
    top1_drop: float
    top5_drop: float
    agreement: float
    bytes_mean: float
    bytes_p95: float
    encode_ms: float
    """Of entropy coding or picture coding alone, as is ``decode_ms``."""
    decode_ms: float
    device_ms: float
    """Of head and encoder."""
    cluster_ms: float
    """Of decoder and tail."""
    looks_mean: float
    """How many messages a frame took; the bytes are those of all of them, and the times those of one."""

    @property
    def curve(self) -> str:
        """The options that it belongs to: its point and its codec."""
        return f"{self.point} {self.codec}"


def option_figures(option: Option, measured: Measured, timing: Timing, *, whole_macs: int) -> OptionFigures:
    """Put together what is known of an option; ``whole_macs`` are those of its backbone."""
    device_macs = option.macs.head + option.macs.encoder
    channels, height, width = option.shape
    return OptionFigures(
        point=option.point, codec=option.codec, rate=option.rate, coder=option.coder,
        symbols=(channels, height, width), device_macs=device_macs, device_share=device_macs / max(1, whole_macs),
        top1=measured.top1, top5=measured.top5, top1_drop=measured.top1_drop, top5_drop=measured.top5_drop,
        agreement=measured.agreement, bytes_mean=measured.bytes_mean, bytes_p95=measured.bytes_p95,
        encode_ms=timing.encode_ms, decode_ms=timing.decode_ms, device_ms=timing.device_ms,
        cluster_ms=timing.cluster_ms, looks_mean=measured.looks_mean,
    )  # fmt: skip
