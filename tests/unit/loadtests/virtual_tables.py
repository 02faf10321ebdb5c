"""Tables with round numbers for the tests in virtual time, and devices that answer by them."""

from dataclasses import replace

import numpy as np

from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules
from loadtests.frame_tables import FrameTables
from loadtests.virtual_device import VirtualDevice
from wire.bitstream import MAX_LOOKS
from wire.ids import OptionId, PointName
from wire.manifest import UNMEASURED, Macs, Option, Refinement

MEASURED = replace(UNMEASURED, bytes_mean=1250.0)
FINE = Option(
    id=OptionId(0), point=PointName("mid"), codec="c", rate="fine", coder="rans", shape=(3, 8, 8),
    device_graph="mid-head.onnx", cluster_graph="mid-tail.onnx", tables="fine.npy", gains="fine-gains.npy",
    quality=None, macs=Macs(1, 1, 1, 1), measured=MEASURED,
)  # fmt: skip
COARSE = replace(
    FINE,
    id=OptionId(1),
    rate="coarse+fine",
    refinements=(Refinement(0.25, "fine-by-coarse.npy", "fine-gains.npy"),),
    measured=replace(MEASURED, looks_mean=1.5, bytes_mean=900.0, top1_drop=0.02),
)
LATE = replace(
    FINE, id=OptionId(2), point=PointName("late"), device_graph="late-head.onnx", cluster_graph="late-tail.onnx",
    measured=replace(MEASURED, bytes_mean=250.0, top1_drop=0.08),
)  # fmt: skip
WHOLE = replace(
    FINE, id=OptionId(3), point=PointName("output"), rate="whole", coder="none", shape=(1, 1, 1),
    cluster_graph=None, tables=None, gains=None, measured=UNMEASURED,
)  # fmt: skip
FINE_ROW, COARSE_ROW, LATE_ROW, WHOLE_ROW = range(4)

RATE_MBPS = 1.0
"""125 bytes a millisecond: 1250 bytes take 10 ms, a reply of 250 bytes 2 ms."""
DELAY_S = 0.005


def tables(*, whole_s=0.100, own_s=0.0, overhead_s=0.0, cluster_s=0.010):
    """Two frames; of the option with two looks, the second frame takes both."""
    looks = np.array([[1, 1], [1, 2], [1, 1], [0, 0]])
    sent_bytes = np.zeros((4, 2, MAX_LOOKS))
    sent_bytes[FINE_ROW, :, 0] = 1250.0
    sent_bytes[COARSE_ROW, :, 0], sent_bytes[COARSE_ROW, 1, 1] = 500.0, 750.0
    sent_bytes[LATE_ROW, :, 0] = 250.0
    return FrameTables(
        options=(FINE, COARSE, LATE, WHOLE),
        device_s=np.array([0.020, 0.020, 0.060, whole_s]),
        refine_s=np.array([0.0, 0.002, 0.0, 0.0]),
        cluster_s=np.array([cluster_s, cluster_s, cluster_s, 0.0]),
        looks=looks,
        sent_bytes=sent_bytes,
        activity=np.full(2, 10.0),
        reply_bytes=250.0,
        own_s=own_s,
        overhead_s=overhead_s,
        device="made of round numbers",
    )


def device(policy="auto", *, frames=1, fps=1.0, deadline_s=0.5, most_drop=0.05, calm=True, **changes):
    """A device whose first frame comes when its streams are open; ``changes`` are of its other fields."""
    constraints = Constraints(deadline_s=deadline_s, most_drop=most_drop)
    rules = Rules(policy=parse_policy(policy), constraints=constraints, calm=calm)
    return VirtualDevice(**{"rules": rules, "fps": fps, "frames": frames, "begins_s": 0.5} | changes)
