"""What other users ask of a real cluster: one frame again and again, evenly, so many times a second.

Owns the frame and the sockets that it is sent on. Nobody waits for an answer before the next frame is sent.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from device_agent.addresses import ServerAddress
from device_agent.head import HeadRuntime
from device_agent.stream import PointStream
from loadtests.clips import first_frame
from loadtests.relay_connection import Address
from wire.bundle import Bundle
from wire.errors import ClusterUnreachable
from wire.ids import DeviceId
from wire.manifest import Option
from wire.messages import Frame, Hello, Reject, Result, pack

STREAMS: Final = 4
"""A replica works on so many frames of one stream at a time; others have more than one."""
OPEN_TIMEOUT_S: Final = 20.0
_LAG_S: Final = 0.1
"""What the loop was late by beyond that is not made up for: it would come as one burst."""


def coded_frame(bundle: Bundle, option: Option, clip: Path) -> bytes:
    """Give the first frame of a clip as the bitstream of an option that sends; raises BundleError and SourceError."""
    return HeadRuntime(bundle, threads=1).encode(option, first_frame(bundle, clip)).bitstream


class RealBackground:
    """Asks for one frame at the rate that was set last, from when it is entered; ``budget_s`` bounds its queue.

    Raises:
        ClusterUnreachable: (on entering) the cluster does not answer.
    """

    def __init__(self, cluster: Address, bundle: Bundle, option: Option, bitstream: bytes, *, budget_s: float) -> None:
        self._server = ServerAddress(*cluster)
        self._hello = Hello(DeviceId("others"), "background", bundle.digest)
        self._option, self._bitstream, self._budget_s = option, bitstream, budget_s
        self._frames_s = 0.0
        self._changed = asyncio.Event()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.sent_unix_s: list[float] = []
        """When each frame was sent."""
        self.answered = 0
        self.refused = 0

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                streams = [
                    await PointStream.open(self._server, self._option.point, self._hello) for _ in range(STREAMS)
                ]
        except TimeoutError as error:
            raise ClusterUnreachable(
                f"the point {self._option.point} opened no stream within {OPEN_TIMEOUT_S:g} s",
                mend="look at the cluster's log",
            ) from error
        for stream in streams:
            self._stack.callback(stream.abort)
        self._tasks = [asyncio.create_task(self._hear(stream)) for stream in streams]
        self._tasks.append(asyncio.create_task(self._send(streams)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def set_rate(self, frames_s: float) -> None:
        """Ask for so many frames a second from now on.

        Raises:
            ClusterUnreachable: a stream was cut since.
        """
        for task in self._tasks:
            if task.done():
                task.result()
        self._frames_s = frames_s
        self._changed.set()

    async def _send(self, streams: list[PointStream]) -> None:
        next_s, number = time.monotonic(), 0
        while True:
            frames_s = self._frames_s
            if not frames_s:
                self._changed.clear()
                await self._changed.wait()
                next_s = time.monotonic()
                continue
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            frame = Frame(
                frame_id=number, option_id=self._option.id, budget_s=self._budget_s, bitstream=self._bitstream
            )
            self.sent_unix_s.append(time.time())
            await streams[number % len(streams)].send(pack(frame))
            number += 1
            next_s = max(next_s + 1 / frames_s, time.monotonic() - _LAG_S)

    async def _hear(self, stream: PointStream) -> None:
        while True:
            match (await stream.receive()).message:
                case Result():
                    self.answered += 1
                case Reject():
                    self.refused += 1
                case _:
                    pass
