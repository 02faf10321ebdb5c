"""The ids that join both sides' spans of one frame, so that a frame carries no byte for them.

A trace is named by device, session and frame; a device says its session once a stream, among the words with which it
names itself. Owns that naming; imports no OpenTelemetry.
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from wire.ids import DeviceId

SESSION_DIGITS: Final = 16
MAX_AGENT_CHARS: Final = 64
"""Of a ``Hello``'s ``agent``."""

_SESSION: Final = re.compile(rf"(?:^| )trace/([0-9a-f]{{{SESSION_DIGITS}}})$")


@dataclass(frozen=True, slots=True)
class FrameTrace:
    """The ids of a frame's trace and of its first span, under which all the others hang."""

    trace_id: int
    """128 bits, not 0."""
    span_id: int
    """64 bits, not 0."""

    @property
    def traceparent(self) -> str:
        """The two as a W3C traceparent, sampled."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-01"


def frame_trace(device_id: DeviceId, session: str, frame_id: int) -> FrameTrace:
    """Name the trace of one frame; ``session`` tells the runs of a device apart, whose frames begin at 0 each."""
    named = f"{len(device_id)}:{device_id}:{session}:{frame_id}".encode("utf-8", "replace")
    digest = blake2b(named, digest_size=24, person=b"isthmus-trace").digest()
    return FrameTrace(int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]) or 1)


def with_session(agent: str, session: str) -> str:
    """Add a session to the words with which an agent names itself in its ``Hello``, as a product of a User-Agent."""
    product = f" trace/{session}"
    return agent[: MAX_AGENT_CHARS - len(product)] + product


def session_of(agent: str) -> str | None:
    """Find the session in the words of a ``Hello``; None where the agent traces nothing."""
    found = _SESSION.search(agent)
    return found[1] if found is not None else None
