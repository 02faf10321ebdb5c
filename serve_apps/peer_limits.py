"""What one device may ask of one replica, and what all of them together may hold in its memory.

Token buckets with the clock given. Owns the numbers and the counting; knows no socket and no token. Every replica
counts for itself: a device with streams to three replicas has three times as much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from wire.errors import Overloaded, RateLimited
from wire.ids import DeviceId
from wire.records import Range

BURST_S: Final = 2.0
"""How many seconds' worth may come at once."""
FORGET_AT: Final = 1024
"""So many devices are remembered before those that are gone are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLimits:
    """The limits of each device at each replica; those of all devices together; and what is too slow."""

    connections: Annotated[int, Range(1, 100_000)] = 16
    """An agent has one stream to a replica, two while it moves; the rest is for several agents of one name."""
    frames_s: Annotated[float, Range(0.1, 1e6)] = 240.0
    bytes_s: Annotated[float, Range(1.0, 1e12)] = 32e6
    """A frame of 224×224 pixels as float32, 30 times a second, is 18 MB/s."""
    held_bytes: Annotated[int, Range(2**20, 2**40)] = 256 * 2**20
    """Of messages and posted bodies that a replica holds at once, of all devices."""
    silent_s: Annotated[float, Range(0.1, 86400.0)] = 300.0
    """A stream without a message for so long is closed; an agent that is alive opens another."""
    send_s: Annotated[float, Range(0.1, 3600.0)] = 10.0
    """A peer that does not take an answer for so long is cut."""
    body_s: Annotated[float, Range(0.1, 3600.0)] = 10.0
    """A posted body may take so long, and beyond that as long as ``body_bytes_s`` allows for what has come."""
    body_bytes_s: Annotated[float, Range(1.0, 1e12)] = 16384.0

    def body_time_s(self, size_bytes: int) -> float:
        """Give how long so much of a body may have taken."""
        return self.body_s + size_bytes / self.body_bytes_s


DEFAULT_LIMITS: Final = PeerLimits()


class Bucket:
    """Fills at a rate up to a depth; what is taken must be there."""

    def __init__(self, rate: float, depth: float, *, now_s: float) -> None:
        self._rate, self._depth = rate, depth
        self._level, self._at_s = depth, now_s

    def wait_s(self, amount: float, *, now_s: float) -> float:
        """Give how long it takes until so much can be taken; 0 is now. More than the depth needs a full bucket."""
        self._fill(now_s)
        return max(0.0, min(amount, self._depth) - self._level) / self._rate

    def take(self, amount: float) -> None:
        """Take so much, of what was found to be there."""
        self._level -= amount

    def full(self, *, now_s: float) -> bool:
        """Tell whether it is as if nothing had ever been taken."""
        self._fill(now_s)
        return self._level >= self._depth

    def _fill(self, now_s: float) -> None:
        self._level = min(self._depth, self._level + (now_s - self._at_s) * self._rate)
        self._at_s = now_s


class Peer:
    """What one device has open, and has left."""

    def __init__(self, limits: PeerLimits, *, now_s: float) -> None:
        self.connections = 0
        self._frames = Bucket(limits.frames_s, max(1.0, limits.frames_s * BURST_S), now_s=now_s)
        self._bytes = Bucket(limits.bytes_s, limits.bytes_s * BURST_S, now_s=now_s)

    def spend(self, size_bytes: int, *, now_s: float) -> float:
        """Take one frame of so many bytes, and give 0; or take nothing, and give the seconds until it would fit."""
        wait_s = max(self._frames.wait_s(1.0, now_s=now_s), self._bytes.wait_s(size_bytes, now_s=now_s))
        if wait_s == 0.0:
            self._frames.take(1.0)
            self._bytes.take(size_bytes)
        return wait_s

    def forgettable(self, *, now_s: float) -> bool:
        """Tell whether nothing would change if it were not remembered."""
        return self.connections == 0 and self._frames.full(now_s=now_s) and self._bytes.full(now_s=now_s)


class Peers:
    """All the devices at one replica. Without tokens a name proves nothing, so then only memory is bounded."""

    def __init__(self, limits: PeerLimits, *, by_device: bool) -> None:
        self.limits = limits
        self.held_bytes = 0
        self._by_device = by_device
        self._peers: dict[DeviceId, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    @contextmanager
    def connected(self, device: DeviceId, *, now_s: float) -> Iterator[Peer | None]:
        """Count one more connection of a device while the context lasts; gives None where nobody is counted.

        Raises:
            RateLimited: it has as many as it may.
        """
        if not self._by_device:
            yield None
            return
        peer = self._peer(device, now_s)
        if peer.connections >= self.limits.connections:
            raise RateLimited(
                f"{device!r} has {peer.connections} connections here already", mend="close one, or wait until one ends"
            )
        peer.connections += 1
        try:
            yield peer
        finally:
            peer.connections -= 1

    def hold(self, size_bytes: int) -> None:
        """Count bytes that came and are kept for now; raises Overloaded where all devices hold too many already."""
        if self.held_bytes + size_bytes > self.limits.held_bytes:
            raise Overloaded("the replica holds as much of what was sent as it may", mend="send it again in a moment")
        self.held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Count them no longer."""
        self.held_bytes -= size_bytes

    def _peer(self, device: DeviceId, now_s: float) -> Peer:
        if device not in self._peers:
            if len(self._peers) >= FORGET_AT:
                self._peers = {name: peer for name, peer in self._peers.items() if not peer.forgettable(now_s=now_s)}
            self._peers[device] = Peer(self.limits, now_s=now_s)
        return self._peers[device]
