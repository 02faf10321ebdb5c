"""Made options, tables and frames for the tests of the comparison of policies."""

from dataclasses import replace

import numpy as np

from loadtests.frame_row import FrameRow, PolicyRun
from loadtests.frame_tables import FrameTables
from wire.bitstream import MAX_LOOKS
from wire.ids import OptionId, PointName
from wire.manifest import UNMEASURED, Macs, Option

DEADLINE_S = 0.1
WHOLE_MACS = 385_187_552
"""Of EfficientNet-Lite0."""


def option(number, point="mid", rate="r1", *, coder="rans", drop=0.0, size_bytes=1000.0, looks=1.0):
    """An option with a graph of its own, unless it is at the point ``input``."""
    measured = replace(UNMEASURED, top1_drop=drop, bytes_mean=size_bytes, looks_mean=looks)
    return Option(
        id=OptionId(number),
        point=PointName(point),
        codec="made",
        rate=rate,
        coder=coder,
        shape=(1, 1, 1) if coder == "none" else (8, 4, 4),
        device_graph=None if point == "input" else f"{point}.onnx",
        cluster_graph=None if coder == "none" else "tail.onnx",
        tables=None,
        gains=None,
        quality=None,
        macs=Macs(WHOLE_MACS, 0, 0, 0) if coder == "none" else Macs(1, 1, 1, 1),
        measured=measured,
    )


def three_options():
    """The frame itself, one cut, and the whole network."""
    return (
        option(0, "input", "q75", coder="jpeg", size_bytes=6000.0, drop=0.04),
        option(1, "mid", "r1"),
        option(2, "output", "whole", coder="none", size_bytes=0.0),
    )


def made_tables(*, input_bytes=6000.0, mid_bytes=1000.0):
    """Tables of two frames: 2, 50 and 100 ms on the device, and 20 and 10 ms on the cluster."""
    sent_bytes = np.zeros((3, 2, MAX_LOOKS))
    sent_bytes[0, :, 0], sent_bytes[1, :, 0] = input_bytes, mid_bytes
    return FrameTables(
        options=three_options(),
        device_s=np.array([0.002, 0.05, 0.1]),
        refine_s=np.zeros(3),
        cluster_s=np.array([0.02, 0.01, 0.0]),
        looks=np.array([[1, 1], [1, 1], [0, 0]]),
        sent_bytes=sent_bytes,
        activity=np.full(2, 10.0),
        reply_bytes=300.0,
        own_s=0.0,
        overhead_s=0.002,
        device="made",
    )


def row(number, latency_ms, planned="mid/r1", where="cluster", *, moved_bytes=1300.0, energy_mj=10.0):
    """A frame of a window that was due at 5 a second."""
    return FrameRow(
        number=number,
        due_s=number / 5,
        planned=planned,
        answered=planned if where == "cluster" else "output/whole",
        where=where,
        latency_s=latency_ms / 1e3,
        in_time=latency_ms / 1e3 <= DEADLINE_S,
        moved_bytes=moved_bytes,
        energy_j=energy_mj / 1e3,
    )


def run(*latencies_ms, planned="mid/r1", expected=None):
    """A run with these latencies, and no frame missing unless more were expected."""
    rows = tuple(row(number, latency_ms, planned) for number, latency_ms in enumerate(latencies_ms))
    return PolicyRun(rows, len(rows) if expected is None else expected)
