"""Which agents a replica has seen lately, and what they sent.

Owns the list, which is bounded: it is for people to look at, and no label of a metric. Pure; time is given.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from wire.ids import DeviceId

MOST: Final = 1000
FORGOTTEN_AFTER_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """One agent, as a replica knows it."""

    device: DeviceId
    agent: str
    """What it runs, in its own words."""
    rate: str | None
    """Of its last frame; None before the first one."""
    streams: int
    """That it holds open to the replica."""
    frames: int
    refused: int
    frames_s: float
    """Frames a second since the report before."""
    received_bytes: int
    quiet_s: float
    """Seconds since its last frame, or since it came."""


@dataclass(slots=True)
class _Row:
    agent: str
    seen_s: float
    rate: str | None = None
    streams: int = 0
    frames: int = 0
    refused: int = 0
    reported: int = 0
    received_bytes: int = 0


class AgentsSeen:
    """The agents of one replica; the one that was quiet for longest is forgotten first."""

    def __init__(self, now_s: float) -> None:
        self._rows: OrderedDict[DeviceId, _Row] = OrderedDict()
        self._reported_s = now_s

    def opened(self, device: DeviceId, agent: str, now_s: float) -> None:
        """Note that an agent opened a stream."""
        row = self._rows.setdefault(device, _Row(agent, now_s))
        row.agent, row.seen_s = agent, now_s
        row.streams += 1
        self._rows.move_to_end(device)
        while len(self._rows) > MOST:
            self._rows.popitem(last=False)

    def closed(self, device: DeviceId) -> None:
        """Note that an agent's stream ended."""
        if (row := self._rows.get(device)) is not None:
            row.streams -= 1

    def frame(self, device: DeviceId, rate: str, size_bytes: int, now_s: float, *, refused: bool) -> None:
        """Note one frame of an agent."""
        if (row := self._rows.get(device)) is None:
            return
        row.rate, row.seen_s = rate, now_s
        row.frames += 1
        row.refused += refused
        row.received_bytes += size_bytes
        self._rows.move_to_end(device)

    def report(self, now_s: float) -> tuple[AgentSeen, ...]:
        """Give the agents, who was seen last at the end; those that went are forgotten after a while."""
        gone = [
            device for device, row in self._rows.items() if row.streams <= 0 and now_s - row.seen_s > FORGOTTEN_AFTER_S
        ]
        for device in gone:
            del self._rows[device]
        passed_s = max(now_s - self._reported_s, 1e-3)
        self._reported_s = now_s
        return tuple(self._seen(device, row, passed_s, now_s) for device, row in self._rows.items())

    def _seen(self, device: DeviceId, row: _Row, passed_s: float, now_s: float) -> AgentSeen:
        frames_s = (row.frames - row.reported) / passed_s
        row.reported = row.frames
        return AgentSeen(
            device=device,
            agent=row.agent,
            rate=row.rate,
            streams=row.streams,
            frames=row.frames,
            refused=row.refused,
            frames_s=frames_s,
            received_bytes=row.received_bytes,
            quiet_s=now_s - row.seen_s,
        )
