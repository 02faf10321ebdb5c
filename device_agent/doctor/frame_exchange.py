"""One frame over the data plane, as the agent sends it: a stream to a point, a greeting, a frame, its result."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from device_agent.addresses import ServerAddress
from device_agent.stream import PointStream
from wire.errors import ClusterUnreachable, DeadlineExceeded
from wire.ids import PointName
from wire.messages import Frame, Hello, Reject, Result, error_from, pack


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A result, the bytes both ways, and the seconds that opening the stream and the frame's round trip took."""

    result: Result
    replica: str
    sent_bytes: int
    received_bytes: int
    open_s: float
    round_trip_s: float


class Exchange(Protocol):
    """Sends a frame to a point and gives its result; raises the IsthmusError that kept it away."""

    def __call__(self, point: PointName, hello: Hello, frame: Frame, /) -> Exchanged:
        """Send, and wait."""


class StreamExchange:
    """Exchanges frames with one cluster, each on a stream of its own; ``timeout_s`` bounds opening and answer each."""

    def __init__(self, server: ServerAddress, *, timeout_s: float) -> None:
        self._server, self._timeout_s = server, timeout_s

    def __call__(self, point: PointName, hello: Hello, frame: Frame, /) -> Exchanged:
        """Open a stream, send, wait and close, blocking."""
        return asyncio.run(self._exchange(point, hello, frame))

    async def _exchange(self, point: PointName, hello: Hello, frame: Frame) -> Exchanged:
        begun_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                stream = await PointStream.open(self._server, point, hello)
        except TimeoutError as error:
            raise ClusterUnreachable(f"no stream was opened within {self._timeout_s:g} s") from error
        open_s = time.perf_counter() - begun_s
        try:
            async with asyncio.timeout(self._timeout_s):
                return await _answered(stream, frame, open_s)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer came within {self._timeout_s:g} s") from error
        finally:
            await stream.close()


async def _answered(stream: PointStream, frame: Frame, open_s: float) -> Exchanged:
    data = pack(frame)
    sent_s = time.perf_counter()
    await stream.send(data)
    while True:
        received = await stream.receive()
        match received.message:
            case Result(frame_id=frame.frame_id) as result:
                round_trip_s = received.at_s - sent_s
                return Exchanged(result, stream.replica, len(data), received.size_bytes, open_s, round_trip_s)
            case Reject() as reject:
                raise error_from(reject)
            case _:
                # Asked to go elsewhere, most likely: what was sent is still answered here.
                continue
