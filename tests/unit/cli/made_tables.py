"""Tables of options that were never measured, for the commands that compare and crowd agents."""

from dataclasses import replace

import numpy as np

from loadtests.frame_tables import FrameTables
from wire.bitstream import MAX_LOOKS
from wire.ids import OptionId, PointName
from wire.manifest import UNMEASURED, Macs, Option


def made_option(number: int, point: str, coder: str) -> Option:
    return Option(
        id=OptionId(number), point=PointName(point), codec="made", rate="r", coder=coder, shape=(1, 1, 1),
        device_graph=None if point == "input" else "head.onnx", cluster_graph=None, tables=None, gains=None,
        quality=None, macs=Macs(300_000_000, 0, 0, 0), measured=replace(UNMEASURED, bytes_mean=1000.0),
    )  # fmt: skip


def made_tables(
    options: tuple[Option, ...], *, device_s: list[float], cluster_s: list[float], first_bytes: list[float]
) -> FrameTables:
    """Two frames; every option that sends takes one look."""
    sends = np.array([option.coder != "none" for option in options])
    sent_bytes = np.zeros((len(options), 2, MAX_LOOKS))
    sent_bytes[:, :, 0] = np.array(first_bytes)[:, None]
    return FrameTables(
        options=options,
        device_s=np.array(device_s),
        refine_s=np.zeros(len(options)),
        cluster_s=np.array(cluster_s),
        looks=np.repeat(sends[:, None].astype(int), 2, axis=1),
        sent_bytes=sent_bytes,
        activity=np.full(2, 10.0),
        reply_bytes=300.0,
        own_s=0.0,
        overhead_s=0.002,
        device="made",
    )
