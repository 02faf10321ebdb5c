"""Cameras that know no cut: each frame is sent as a JPEG when it is due, and nobody answers where the cluster does not.

Two ways: over our stream, at the point ``input``; and as a POST, to whatever serves the network as a plain application.
A frame is sent whether or not those before it are answered, so a slow answer holds up no other frame.
"""

import asyncio
import time
from typing import Final, Protocol

import aiohttp

from device_agent.cluster_view import ClusterView
from device_agent.link_estimate import make_link
from loadtests.light_clip import LightClip
from loadtests.light_device import LightDevice
from loadtests.light_frame import LightFrame, Where
from loadtests.light_stream import OpenStreams
from wire.bitstream import HEADER_BYTES
from wire.ids import DeviceId
from wire.manifest import Option
from wire.messages import Reject, Result

GIVE_UP_S: Final = 5.0
"""Of one frame; an answer that comes later than this is of no use to anyone."""


class SendFrame(Protocol):
    """Sends one frame and gives what became of it, within ``GIVE_UP_S``."""

    async def __call__(self, number: int, due_s: float) -> LightFrame:
        """Send frame ``number``, which was due at ``due_s`` on the monotonic clock."""

    async def close(self) -> None:
        """Close what was opened."""


class StreamCamera:
    """Sends over one stream to the point ``input``; the budget is what is left of the deadline."""

    def __init__(self, number: int, clip: LightClip, option: Option, deadline_s: float,
                 streams: OpenStreams) -> None:  # fmt: skip
        self._number, self._clip, self._option, self._deadline_s = number, clip, option, deadline_s
        self.streams = streams(DeviceId(f"camera-{number}"), link=make_link("kalman"), cluster=ClusterView())

    async def __call__(self, number: int, due_s: float) -> LightFrame:
        """Send one frame."""
        option, bitstream = self._option, self._clip.look(self._option.id, number, 0)
        name = f"{option.point}/{option.rate}"
        until_s = due_s + self._deadline_s
        sent = await self.streams.exchange(option.point, option.id, number, bitstream, until_s=until_s)
        reply = None
        if sent is not None:
            await asyncio.wait((sent[0],), timeout=max(due_s + GIVE_UP_S - time.monotonic(), 0.0))
            reply = sent[0].result() if sent[0].done() else None
        latency_s = time.monotonic() - due_s
        frame = LightFrame(self._number, due_s, latency_s, "nobody", name, "cut", sent[1] if sent else 0, 0, 1, 0.0)
        match reply.message if reply is not None else None:
            case Result(timings=timings, batch_size=batch):
                busy_s = timings.decode_s + timings.compute_s / batch
                frame = frame._replace(where="cluster", refusal="", busy_s=busy_s)
            case Reject(code=code):
                frame = frame._replace(refusal=code)
        return frame._replace(received_bytes=reply.received_bytes if reply is not None else 0)

    async def close(self) -> None:
        """Drop the stream."""
        await self.streams.close()


class PostCamera:
    """POSTs each frame; a connection is opened for each that is under way, and kept for the next."""

    def __init__(self, number: int, clip: LightClip, option: Option, url: str, session: aiohttp.ClientSession) -> None:
        self._number, self._clip, self._option, self._url, self._session = number, clip, option, url, session

    async def __call__(self, number: int, due_s: float) -> LightFrame:
        """Send one frame."""
        # What is behind the bitstream's header is the JPEG itself.
        picture = self._clip.look(self._option.id, number, 0)[HEADER_BYTES:]
        name = f"{self._option.point}/{self._option.rate}"
        received, refusal = 0, "late"
        try:
            async with asyncio.timeout(GIVE_UP_S), self._session.post(self._url, data=picture) as response:
                received = len(await response.read())
                refusal = "" if response.status == 200 else f"http_{response.status}"
        except TimeoutError:
            pass
        except aiohttp.ClientError:
            refusal = "cut"
        where: Where = "nobody" if refusal else "cluster"
        latency_s = time.monotonic() - due_s
        return LightFrame(self._number, due_s, latency_s, where, name, refusal, len(picture), received, 1, 0.0)

    async def close(self) -> None:
        """Leave the session, which all share."""


class LightCamera:
    """Sends a clip's frames at a rate; ``frames`` is what became of them."""

    def __init__(self, send: SendFrame, device: LightDevice, option: Option) -> None:
        self.frames: list[LightFrame] = []
        self.switches = 0
        self._send = send
        self._coding_s = device.option_s[option.id]

    async def run(self, *, fps: float, began_s: float, first_due_s: float, until_s: float, give_up_s: float) -> None:
        """Send each frame that falls due before ``until_s``, and wait for what is under way, until ``give_up_s``."""
        under_way: set[asyncio.Task[None]] = set()
        number = 0
        try:
            while (due_s := first_due_s + number / fps) < until_s:
                # The device codes the picture before it can send it.
                await asyncio.sleep(max(due_s + self._coding_s - time.monotonic(), 0.0))
                task = asyncio.create_task(self._one(number, due_s, began_s))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
            if under_way:
                await asyncio.wait(under_way, timeout=max(give_up_s - time.monotonic(), 0.0))
        finally:
            for task in (left := tuple(under_way)):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self._send.close()

    async def _one(self, number: int, due_s: float, began_s: float) -> None:
        frame = await self._send(number, due_s)
        self.frames.append(frame._replace(due_s=due_s - began_s))
