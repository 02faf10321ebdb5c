"""The grouped profile of a backbone: every run of consecutive groups in one ONNX Runtime session, timed in turn.

Owns the order of the runs: the repeats go round all ranges, so that a noisy moment does not hit one of them alone.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import onnxruntime
import psutil

from cluster.backbones.registry import Backbone
from cluster.profiling.backward import measure_backward
from cluster.profiling.chain import Chain
from cluster.profiling.chain_graphs import ChainGraphs, boundary, busy_picture
from cluster.profiling.group_profile import GroupProfile
from cluster.profiling.machine import machine_name
from cluster.profiling.samples import Listener, Samples, own_clock, visits
from cluster.profiling.sessions import open_session
from wire.tensor_form import Tensor

KEPT_BYTES: Final = 4 * 2**30
"""What open sessions may take, or half of the free memory where that is less; the others are opened for each visit."""


def measure_groups(
    backbone: Backbone, *, most_groups: int, threads: int, repeats: int, backward: bool, listener: Listener
) -> GroupProfile:
    """Measure every contiguous range of groups on this machine, for one frame.

    Raises:
        BackboneError: the backbone cannot be traced, exported or run.
        SettingError: fewer than one group is asked for.
    """
    listener("finding the groups", 0, 0)
    chain = Chain.of(backbone, most_groups=most_groups)
    with TemporaryDirectory(prefix="isthmus-profile-") as folder:
        listener("exporting", 0, 0)
        ranges = _Ranges(ChainGraphs(chain, Path(folder)), chain, threads)
        forward = Samples(own_clock(threads))
        _time(chain, ranges, forward, repeats, listener)
    return GroupProfile(
        backbone=backbone.name,
        machine=machine_name(threads),
        threads=threads,
        repeats=repeats,
        boundaries=chain.boundaries,
        tensor_bytes=chain.tensor_bytes,
        macs=chain.macs,
        seconds=chain.square(forward.median_s),
        spread_s=chain.square(forward.spread_s),
        backward_s=measure_backward(chain, threads=threads, repeats=repeats, listener=listener) if backward else None,
    )


class _Ranges:
    """Sessions by range, kept open while there is room."""

    def __init__(self, graphs: ChainGraphs, chain: Chain, threads: int) -> None:
        self._graphs, self._threads = graphs, threads
        frame = chain.backbone.frame
        self._tensors: tuple[Tensor, ...] = graphs.tensors(busy_picture(frame.height, frame.width), threads)
        self._kept: dict[tuple[int, int], onnxruntime.InferenceSession] = {}
        self._process = psutil.Process()
        room_bytes = min(KEPT_BYTES, psutil.virtual_memory().available // 2)
        self._most_bytes = self._process.memory_info().rss + room_bytes

    def visit(self, samples: Samples, first: int, last: int, runs: int) -> None:
        """Time a range so often."""
        session = self._kept.get((first, last)) or open_session(self._graphs.path(first, last), self._threads)
        samples.visit((first, last), partial(session.run, None, {boundary(first): self._tensors[first]}), runs)
        if self._process.memory_info().rss < self._most_bytes:
            self._kept[first, last] = session


def _time(chain: Chain, ranges: _Ranges, samples: Samples, repeats: int, listener: Listener) -> None:
    done, total = 0, len(chain.ranges) * repeats
    for runs in visits(repeats):
        for first, last in chain.ranges:
            ranges.visit(samples, first, last, runs)
            done += runs
            listener("forward", done, total)
