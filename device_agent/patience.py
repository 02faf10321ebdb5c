"""How long a frame waits for the cluster, and when the device begins its own answer. Pure."""

from dataclasses import dataclass
from typing import Final

LOCAL_MARGIN: Final = 1.1
"""The device's own answer may take so much longer than expected, and still be in time."""
LOCAL_MARGIN_S: Final = 0.005
_EXPECTED: Final = 1.25
"""And the device begins its own answer when the cluster's is late by a quarter of what was predicted."""
_TWICE: Final = 2.0
"""Where no deadline can be kept, the cluster is waited for as long again as was predicted."""
_LEAST_S: Final = 0.02
"""And a little more, since what takes a millisecond at best takes some more at worst."""
_MOST_S: Final = 10.0
"""But no longer than this, however slow the link is."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Times on the clock of the frame: ``alone_from_s`` is never after ``until_s``."""

    alone_from_s: float
    """When the device begins its own answer, while it still waits for the cluster's."""
    until_s: float
    """When the cluster's answer is no longer waited for."""


def alone_s(ends_s: float, local_s: float) -> float:
    """Give when the device has to begin its own answer, for one that is done at ``ends_s``."""
    return ends_s - LOCAL_MARGIN * local_s - LOCAL_MARGIN_S


def patience(
    *,
    due_s: float,
    begun_s: float,
    deadline_s: float,
    local_s: float,
    device_s: float,
    predicted_s: float,
    races: bool = False,
) -> Patience:
    """Say how long to wait for a frame that was due at ``due_s`` and begun at ``begun_s``.

    The device finishes alone early enough for the deadline: ``local_s`` before it, with a margin. Where it could not,
    since it is slower than that or still busy with the head (``device_s``), it begins soon after the cluster's answer
    was to be expected, or right behind the head if it is the sooner one. It begins there too if it ``races``. The
    cluster's is waited for until the deadline has passed and twice the predicted time has, but in the second case no
    longer than the device takes: nobody wants an answer then, and a cluster that is told to take so long would compute
    it in place of one that is wanted.
    """
    ends_s = due_s + deadline_s
    alone_from_s = alone_s(ends_s, local_s)
    if alone_from_s >= begun_s + device_s:
        return Patience(begun_s + device_s if races else alone_from_s, ends_s)
    expected_s = device_s if predicted_s > device_s + local_s else _EXPECTED * predicted_s + LOCAL_MARGIN_S
    wanted_s = expected_s + LOCAL_MARGIN * local_s + LOCAL_MARGIN_S
    until_s = max(ends_s, begun_s + min(_TWICE * predicted_s + _LEAST_S, wanted_s, _MOST_S))
    return Patience(min(begun_s + (device_s if races else expected_s), until_s), until_s)
