"""Raw streams that send frames at a rate and connect again when told to, for the tests of scaling; no tests here.

Each does what an agent does with a ``GoAway``: it opens another stream, sends there from then on, waits for what is on
the way, and closes the old one. What a device would have to answer itself is counted as failed.
"""

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from wire.ids import BundleDigest, DeviceId, OptionId
from wire.messages import Frame, GoAway, Hello, Reject, Result, Welcome, pack, unpack

BUDGET_S = 10.0


@dataclass
class Tally:
    """What became of the frames of a whole fleet."""

    sent: int = 0
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    went: Counter[str] = field(default_factory=Counter)
    """GoAways by reason."""


class Streamer:
    """One device: sends a frame every ``1 / fps`` seconds over its stream, whatever became of those before."""

    def __init__(
        self, url: str, name: str, bundle: BundleDigest, option_id: int, bitstream: bytes, tally: Tally
    ) -> None:
        self.replica = ""
        self.newest = ""
        self._url, self._tally, self._name = url, tally, name
        self.use_bundle(bundle)
        self._option_id, self._bitstream = OptionId(option_id), bitstream
        self._socket: ClientConnection | None = None
        self._waiting: dict[int, tuple[ClientConnection, asyncio.Future[str]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._number = 0

    async def open(self) -> None:
        socket = await connect(self._url, compression=None, proxy=None, max_size=2**20, ping_interval=None)
        await socket.send(self._hello)
        welcome = unpack(await socket.recv(decode=False))
        assert isinstance(welcome, Welcome), welcome
        self.replica, self.newest = welcome.replica_id, welcome.bundle
        self._socket = socket
        self._own(self._read(socket))

    def use_bundle(self, bundle: BundleDigest) -> None:
        """Greet with another bundle from the next stream on."""
        self.bundle = bundle
        self._hello = pack(Hello(DeviceId(self._name), "test", bundle))

    async def move(self) -> None:
        """Open another stream and leave the one in use, as if told to."""
        assert self._socket is not None
        await self._replace(self._socket, BUDGET_S)

    async def stream(self, fps: float) -> None:
        while True:
            began_s = time.monotonic()
            self._own(self._send())
            await asyncio.sleep(max(0.0, 1 / fps - (time.monotonic() - began_s)))

    async def finish(self) -> None:
        """Wait for what is on the way, then close."""
        replies = [reply for _, reply in self._waiting.values()]
        if replies:
            await asyncio.wait(replies, timeout=BUDGET_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._socket.close()

    async def _send(self) -> None:
        assert self._socket is not None
        self._number += 1
        number, socket = self._number, self._socket
        reply = asyncio.get_running_loop().create_future()
        self._waiting[number] = (socket, reply)
        self._tally.sent += 1
        try:
            frame = Frame(frame_id=number, option_id=self._option_id, budget_s=BUDGET_S, bitstream=self._bitstream)
            await socket.send(pack(frame))
            async with asyncio.timeout(BUDGET_S):
                said = await reply
        except (ConnectionClosed, TimeoutError, OSError) as error:
            said = f"{type(error).__name__} at {self.replica}"
        finally:
            self._waiting.pop(number, None)
        if said == "answered":
            self._tally.answered += 1
        else:
            self._tally.failures.append(said)

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                match unpack(await socket.recv(decode=False)):
                    case Result(frame_id=number):
                        self._settle(number, "answered")
                    case Reject(frame_id=int(number), code=code, message=message):
                        self._settle(number, f"refused: {code}: {message}")
                    case GoAway(reason=reason, grace_s=grace_s):
                        self._tally.went[reason] += 1
                        self._own(self._replace(socket, grace_s))
        except ConnectionClosed as cut:
            for of, reply in self._waiting.values():
                if of is socket and not reply.done():
                    reply.set_result(f"cut: {cut}")
            if socket is self._socket:
                with suppress(OSError):
                    await self.open()

    def _settle(self, number: int, said: str) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(said)

    async def _replace(self, old: ClientConnection, grace_s: float) -> None:
        await self.open()
        replies = [reply for of, reply in self._waiting.values() if of is old]
        if replies:
            await asyncio.wait(replies, timeout=grace_s)
        await old.close()

    def _own(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass
class Fleet:
    """Some streamers that run while the context lasts."""

    streamers: list[Streamer]
    tally: Tally

    @classmethod
    @asynccontextmanager
    async def running(
        cls, url: str, count: int, *, fps: float, bundle: BundleDigest, option_id: int, bitstream: bytes
    ) -> Any:
        tally = Tally()
        streamers = [Streamer(url, f"fleet-{n}", bundle, option_id, bitstream, tally) for n in range(count)]
        for streamer in streamers:
            await streamer.open()
        tasks = [asyncio.create_task(streamer.stream(fps)) for streamer in streamers]
        try:
            yield cls(streamers, tally)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(streamer.finish() for streamer in streamers))

    @property
    def replicas(self) -> Counter[str]:
        """How many streams each replica holds, as the streams know."""
        return Counter(streamer.replica for streamer in self.streamers)
