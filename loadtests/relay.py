"""The link emulator: a TCP relay on this machine that is as slow, as far and as broken as a script says.

`Relay` puts sockets at both ends of two bottlenecks, and the command at the end runs one. All the connections
of a relay share its two bottlenecks, as the streams of one device share its radio. Where a real link would
drop, the relay stops reading, and the sender's TCP waits. Longer than most: relay, lanes and halves know each
other's state.

Imports nothing of Isthmus but the errors and the script.
"""

import asyncio
import contextlib
import enum
import errno
import json
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TypeVar

import click

from loadtests.bottleneck import Bottleneck
from loadtests.link_script import LinkScript, LinkState, Step
from wire.errors import IsthmusError, PortInUse, SettingError

Address = tuple[str, int]
Item = TypeVar("Item")

_PACKET_BYTES: Final = 1460
_READ_BYTES_MAX: Final = 16 * 1024
_READ_S: Final = 0.0005
# The kernel's own buffers around a bottleneck are queue too; left to themselves they grow to megabytes.
_KERNEL_BUFFER_BYTES: Final = 64 * 1024
_BACKLOG: Final = 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Relay:
    """A TCP relay from ``listen`` to ``upstream`` whose connections share one emulated link.

    ``queue_bytes`` bounds what waits in each direction of the link; behind that the relay stops reading. A
    connection whose receiver does not read may hold as much again, plus what the link has under way.

    While the link is down, connections are accepted by the kernel, but no byte and no end of stream crosses.

    Raises (on entering):
        PortInUse: the address to listen on is taken.
    """

    def __init__(
        self,
        upstream: Address,
        *,
        state: LinkState,
        listen: Address = ("127.0.0.1", 0),
        queue_bytes: int = 256 * 1024,
    ) -> None:
        if queue_bytes < _PACKET_BYTES:
            mend = f"give {_PACKET_BYTES} or more"
            raise SettingError(f"a queue of {queue_bytes} bytes holds no packet", mend=mend)
        self._upstream = upstream
        self._listen = listen
        self._up = _Lane(state, queue_bytes)
        self._down = _Lane(state, queue_bytes)
        self._link_is_up = asyncio.Event()
        self._state = state
        self.set_state(state)

    async def __aenter__(self) -> Self:
        self._listener = _listener(self._listen)
        self._owner = asyncio.create_task(self._run(), name="relay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._owner
        finally:
            self._listener.close()

    @property
    def address(self) -> Address:
        """Where the relay listens, with the port that it was given; known once it was entered."""
        host, port = self._listener.getsockname()[:2]
        return host, port

    @property
    def state(self) -> LinkState:
        """What the link is now."""
        return self._state

    @property
    def bytes_up(self) -> int:
        """Bytes that came out of the link on the upstream's side."""
        return self._up.delivered_bytes

    @property
    def bytes_down(self) -> int:
        """Bytes that came out of the link on the clients' side."""
        return self._down.delivered_bytes

    def set_state(self, state: LinkState) -> None:
        """Change the link at once, for what is queued too."""
        self._state = state
        self._up.set_state(state)
        self._down.set_state(state)
        if state.rate_mbps is None:
            self._link_is_up.clear()
        else:
            self._link_is_up.set()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._up.run(), name="relay-up")
            tasks.create_task(self._down.run(), name="relay-down")
            while True:
                with contextlib.suppress(ConnectionError):
                    client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
                    tasks.create_task(self._carry(client), name="relay-connection")

    async def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as upstream:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _prepare(upstream)
            await self._link_is_up.wait()
            try:
                await asyncio.get_running_loop().sock_connect(upstream, self._upstream)
            except OSError:
                _reset_on_close(client)
                return
            up, down = _Half(client, upstream, self._up), _Half(upstream, client, self._down)
            await _join(up, down)


class _Ending(enum.Enum):
    HALF_CLOSE = enum.auto()
    CUT = enum.auto()


_Payload = bytes | _Ending


class _Lane:
    """One direction of the relay: a bottleneck, the timer that empties it, the back-pressure before it."""

    def __init__(self, state: LinkState, queue_bytes: int) -> None:
        self._bottleneck: Bottleneck[tuple[_Half, _Payload]] = Bottleneck(state)
        self._state = state
        self._queue_bytes = queue_bytes
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()
        self._room.set()
        self._wake = asyncio.Event()
        self.delivered_bytes = 0

    @property
    def read_bytes(self) -> int:
        """How much to read at once: a packet, or on a fast link what leaves within half a millisecond."""
        return max(_PACKET_BYTES, min(_READ_BYTES_MAX, int(self._state.bytes_per_s * _READ_S)))

    @property
    def window_bytes(self) -> int:
        """How much of one connection may be between its two sockets."""
        return self._queue_bytes + int(self._state.bytes_per_s * self._state.delay_s)

    def set_state(self, state: LinkState) -> None:
        self._state = state
        self._bottleneck.set_state(state, now_s=time.monotonic())
        self._wake.set()

    async def send(self, half: "_Half", payload: _Payload) -> None:
        """Queue one payload; connections that wait for room get it in turn (asyncio's lock is fair)."""
        async with self._turn:
            await self._room.wait()
            if self._bottleneck.queued_bytes == 0:
                self._wake.set()
            self._bottleneck.push((half, payload), _size_bytes(payload), now_s=time.monotonic())
            self._tell_room()

    async def run(self) -> None:
        """Hand over what comes out of the bottleneck, and sleep until more does."""
        while True:
            for half, payload in self._bottleneck.take_due(time.monotonic()):
                half.hand_over(payload)
            self._tell_room()
            await self._sleep_until(self._bottleneck.next_event_s())
            self._wake.clear()

    def _tell_room(self) -> None:
        if self._bottleneck.queued_bytes < self._queue_bytes:
            self._room.set()
        else:
            self._room.clear()

    async def _sleep_until(self, at_s: float | None) -> None:
        if at_s is None:
            await self._wake.wait()
            return
        timer = asyncio.get_running_loop().call_later(max(0.0, at_s - time.monotonic()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


class _Ended(Exception):
    """Both streams of a connection have come to their end."""


class _Cut(_Ended):
    """One of the two peers is gone."""


class _Half:
    """One direction of one connection: ``source`` is read into the lane, ``target`` gets what comes out."""

    def __init__(self, source: socket.socket, target: socket.socket, lane: _Lane) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.ended = False
        self._between_bytes = 0
        self._arrived: asyncio.Queue[_Payload] = asyncio.Queue()  # bounded by the window in read()
        self._written = asyncio.Event()

    def hand_over(self, payload: _Payload) -> None:
        self._arrived.put_nowait(payload)

    async def read(self) -> None:
        """Send what the source says into the lane, up to its end and at most a window ahead of the target."""
        while True:
            payload = await _receive(self.source, self.lane.read_bytes)
            while self._between_bytes >= self.lane.window_bytes:
                self._written.clear()
                await self._written.wait()
            self._between_bytes += _size_bytes(payload)
            await self.lane.send(self, payload)
            if isinstance(payload, _Ending):
                return

    async def write(self, back: "_Half") -> None:
        """Write what arrives to the target; a target that is gone is told to the source, through the link."""
        lost = not await self._write_to_end()
        self.ended = True
        if back.ended:
            raise _Cut if lost else _Ended
        if lost:
            await back.lane.send(back, _Ending.CUT)
            return
        with contextlib.suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)
        # After its end only one thing can still come this way: that the other half lost its target.
        await self._arrived.get()
        raise _Cut

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
            self.lane.delivered_bytes += len(payload)
            self._between_bytes -= len(payload)
            self._written.set()


async def _join(up: _Half, down: _Half) -> None:
    """Carry both halves of one connection until both have ended or a peer is gone."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for half, back in ((up, down), (down, up)):
                tasks.create_task(half.read())
                tasks.create_task(half.write(back))
    except* _Cut:
        _reset_on_close(up.source)
        _reset_on_close(down.source)
    except* _Ended:
        pass


async def _receive(source: socket.socket, size_bytes: int) -> _Payload:
    try:
        return await asyncio.get_running_loop().sock_recv(source, size_bytes) or _Ending.HALF_CLOSE
    except OSError:
        return _Ending.CUT


def _size_bytes(payload: _Payload) -> int:
    return 0 if isinstance(payload, _Ending) else len(payload)


def _listener(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _prepare(listener)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            message = f"cannot listen on {address[0]}:{address[1]}: {error.strerror}"
            raise SettingError(message, mend="give an address of this machine and a free port") from error
        mend = "give another port, or 0 for any that is free"
        raise PortInUse(f"{address[0]}:{address[1]} is taken", mend=mend) from error
    return listener


def _prepare(sock: socket.socket) -> None:
    sock.settimeout(0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


async def play(
    relay: Relay,
    script: LinkScript,
    *,
    clock: Callable[[], float] = time.monotonic,
    on_step: Callable[[Step], None] | None = None,
) -> None:
    """Apply every step of the script at its time from now on, and return after the last; its state stays.

    ``on_step`` hears of each step right after it was applied.
    """
    started_s = clock()
    for step in script.steps:
        await asyncio.sleep(max(0.0, started_s + step.at_s - clock()))
        relay.set_state(step.state)
        if on_step is not None:
            on_step(step)


@click.command()
@click.option("--upstream", required=True, metavar="HOST:PORT", help="Where the connections go.")
@click.option("--listen", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--script", required=True, metavar="STEPS", help='Such as "0:20,25:1.1,50:down,65:20" (s:Mbit/s).')
@click.option("--delay-ms", type=click.FloatRange(min=0), default=5.0, show_default=True, help="One way.")
def main(upstream: str, listen: int, script: str, delay_ms: float) -> None:
    """Emulate one device's link to HOST:PORT until SIGTERM or SIGINT; one JSON line for each change."""
    try:
        steps = LinkScript.parse(script, delay_s=delay_ms / 1000)
        asyncio.run(_serve(_parse_address(upstream), ("127.0.0.1", listen), steps))
    except IsthmusError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


async def _serve(upstream: Address, listen: Address, script: LinkScript) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        Relay(upstream, state=script.state_at(0), listen=listen) as relay,
        asyncio.TaskGroup() as tasks,
    ):
        _say("relay.listening", port=relay.address[1])
        playing = tasks.create_task(play(relay, script, on_step=_say_step), name="relay-script")
        await stop.wait()
        playing.cancel()


def _say_step(step: Step) -> None:
    state = step.state
    _say(
        "relay.state",
        at_s=step.at_s,
        unix_s=round(time.time(), 6),
        rate_mbps=state.rate_mbps,
        delay_s=state.delay_s,
    )


def _say(event: str, **fields: float | None) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def _parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingError(f"{text!r} is no address of an upstream", mend="write it as HOST:PORT")
    return host, int(port)


if __name__ == "__main__":
    main()
