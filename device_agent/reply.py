"""What becomes of a frame that was sent to the cluster: a reply, or the reason why there is none."""

from dataclasses import dataclass

from wire.messages import Result


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one frame, with the bytes both ways, the round trip, and the seconds spent on its messages."""

    result: Result
    sent_bytes: int
    received_bytes: int
    round_trip_s: float
    message_s: float


@dataclass(frozen=True, slots=True)
class NoReply:
    """Why a frame has no result: ``late``, ``link_down`` or ``refused:<code>``; with the bytes both ways."""

    fallback: str
    sent_bytes: int = 0
    received_bytes: int = 0
    message_s: float = 0.0
