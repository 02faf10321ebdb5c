"""One connection of a relay: two sockets, and a half for each direction between them.

A half reads its source into a lane and writes what comes out to its target. Ends and cuts of a stream travel
through the lane behind its bytes.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from loadtests.relay_lane import Lane

Address = tuple[str, int]

# The kernel's own buffers around a bottleneck are queue too; left to themselves they grow to megabytes.
_KERNEL_BUFFER_BYTES: Final = 64 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def prepare(sock: socket.socket) -> None:
    """Make a socket, or all that a listening one accepts, fit to stand at an end of a link."""
    sock.settimeout(0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Ending(enum.Enum):
    HALF_CLOSE = enum.auto()
    CUT = enum.auto()


_Payload = bytes | _Ending


class _Ended(Exception):
    """Both streams of a connection have come to their end."""


class _Cut(_Ended):
    """One of the two peers is gone."""


class Half:
    """One direction of one connection: ``source`` is read into the lane, ``target`` gets what comes out.

    ``on_written`` hears of every write to the target, in bytes.
    """

    def __init__(
        self, source: socket.socket, target: socket.socket, lane: Lane, on_written: Callable[[int], None]
    ) -> None:
        self.source = source
        self.target = target
        self._lane = lane
        self._on_written = on_written
        self._ended = False
        self._between_bytes = 0
        self._arrived: asyncio.Queue[_Payload] = asyncio.Queue()  # bounded by the window in read()
        self._written = asyncio.Event()

    async def read(self) -> None:
        """Send what the source says into the lane, up to its end and at most a window ahead of the target."""
        while True:
            payload = await _receive(self.source, self._lane.turn_bytes)
            while self._between_bytes >= self._lane.window_bytes:
                self._written.clear()
                await self._written.wait()
            await self._send(payload)
            if isinstance(payload, _Ending):
                return

    async def write(self, back: "Half") -> None:
        """Write what arrives to the target; a target that is gone is told to the source, through the link."""
        lost = not await self._write_to_end()
        self._ended = True
        if back._ended:
            raise _Cut if lost else _Ended
        if lost:
            await back._send(_Ending.CUT)
            return
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)
        # After its end only one thing can still come this way: that the other half lost its target.
        await self._arrived.get()
        raise _Cut

    async def _send(self, payload: _Payload) -> None:
        size_bytes = 0 if isinstance(payload, _Ending) else len(payload)
        self._between_bytes += size_bytes
        await self._lane.send(size_bytes, partial(self._arrived.put_nowait, payload))

    async def _write_to_end(self) -> bool:
        while True:
            payload = await self._arrived.get()
            if payload is _Ending.CUT:
                raise _Cut
            if isinstance(payload, _Ending):
                return True
            try:
                await asyncio.get_running_loop().sock_sendall(self.target, payload)
            except OSError:
                return False
            self._on_written(len(payload))
            self._between_bytes -= len(payload)
            self._written.set()


async def join(up: Half, down: Half) -> None:
    """Carry both halves of one connection until both have ended or a peer is gone."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for half, back in ((up, down), (down, up)):
                tasks.create_task(half.read())
                tasks.create_task(half.write(back))
    except* _Cut:
        reset_on_close(up.source)
        reset_on_close(down.source)
    except* _Ended:
        pass


def reset_on_close(sock: socket.socket) -> None:
    """Have the peer told, when this socket is closed, that its connection was cut."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


async def _receive(source: socket.socket, size_bytes: int) -> _Payload:
    try:
        return await asyncio.get_running_loop().sock_recv(source, size_bytes) or _Ending.HALF_CLOSE
    except OSError:
        return _Ending.CUT
