"""How long each step of an option takes on this machine, for one frame at a time.

Owns the clock. Steps that options share are timed once.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Final, TypeVar

from cluster.evaluation.frames import Pixels
from cluster.evaluation.option_group import OptionGroup

SAMPLE: Final = 50
"""Frames to time; more do not move a median."""

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians in milliseconds a frame; 0.0 for a step that an option does not have.

    ``encode_ms`` and ``decode_ms`` are of the coder alone, ``device_ms`` of head and encoder, ``cluster_ms`` of decoder
    and tail.
    """

    encode_ms: float
    decode_ms: float
    device_ms: float
    cluster_ms: float


class _Stopwatch:
    def __init__(self) -> None:
        self._times_ms: dict[object, list[float]] = defaultdict(list)

    def run(self, step: object, function: Callable[[Given], Made], given: Given) -> Made:
        began = perf_counter()
        made = function(given)
        self._times_ms[step].append((perf_counter() - began) * 1e3)
        return made

    def median_ms(self, step: object) -> float:
        """Give the median but for the first time, which is to warm up."""
        return median(self._times_ms[step][1:]) if step in self._times_ms else 0.0


def timings(group: OptionGroup, sample: Pixels) -> tuple[Timing, ...]:
    """Time the options of a group on frames, uint8 (N, H, W, 3), each with its own bitstreams."""
    watch = _Stopwatch()
    # The time of a graph does not depend on what it is given: once a frame is enough for all that share it.
    first = {option.cluster_graph: option for option in reversed(group.options)}
    for pixels in (sample[0], *sample):
        tensor = watch.run("device", group.device.run, pixels[None])[0] if group.device else pixels
        for option in group.options:
            graph = option.cluster_graph
            if graph is None:
                continue
            coding = group.codings[option.id]
            bitstream = watch.run(("encode", option.id), coding.encode, tensor)
            received = watch.run(("decode", option.id), coding.decode, bitstream)
            if first[graph] is option:
                watch.run(("cluster", graph), group.clusters[graph].run, received[None])
    return tuple(
        Timing(
            encode_ms=watch.median_ms(("encode", option.id)),
            decode_ms=watch.median_ms(("decode", option.id)),
            device_ms=watch.median_ms("device"),
            cluster_ms=watch.median_ms(("cluster", option.cluster_graph)),
        )
        for option in group.options
    )
