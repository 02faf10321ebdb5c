"""The link emulator: a TCP relay on this machine that is as slow, as far and as broken as a script says.

`Relay` puts sockets at both ends of two lanes. All the connections of a relay share its two lanes in equal turns, as
the streams of one device share its radio, or many devices their access point. Where a real link would drop, the
relay stops reading, and the sender's TCP waits.

Imports nothing of Isthmus but the errors and the emulator's other parts.
"""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from loadtests.background_flow import BackgroundFlow
from loadtests.bottleneck import QUEUE_BYTES
from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.relay_connection import Address, Half, join, prepare, reset_on_close
from loadtests.relay_lane import Lane
from wire.errors import PortInUse, SettingError

_BACKLOG: Final = 1024


class Relay:
    """A TCP relay from ``listen`` to ``upstream`` whose connections share one emulated link.

    ``queue_bytes`` bounds what waits in each direction of the link; behind that the relay stops reading. A deep queue
    that is kept full delays by its bytes over the rate. A connection whose receiver does not read may hold as much
    again, plus what the link has under way. ``seed`` decides the jitter of every packet.

    While the link is stalled or down, connections are accepted by the kernel, but no byte and no end of stream
    enters it.

    Raises:
        SettingError: the queue holds no packet, or (on entering) the address is none of this machine's.
        PortInUse: (on entering) the address to listen on is taken.
    """

    def __init__(
        self,
        upstream: Address,
        *,
        state: LinkState,
        listen: Address = ("127.0.0.1", 0),
        queue_bytes: int = QUEUE_BYTES,
        seed: int = 0,
    ) -> None:
        self._upstream = upstream
        self._listen = listen
        self._up = Lane(state, queue_bytes=queue_bytes, seed=2 * seed)
        self._down = Lane(state, queue_bytes=queue_bytes, seed=2 * seed + 1)
        self._link_carries = asyncio.Event()
        self.background_up = BackgroundFlow(self._up)
        self.background_down = BackgroundFlow(self._down)
        self.bytes_up = 0
        """Bytes of the connections that came out of the link on the upstream's side."""
        self.bytes_down = 0
        """Bytes of the connections that came out of the link on the clients' side."""
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

    def set_state(self, state: LinkState) -> None:
        """Change the link at once, for what is queued too."""
        self._state = state
        self._up.set_state(state)
        self._down.set_state(state)
        if state.bytes_per_s:
            self._link_carries.set()
        else:
            self._link_carries.clear()

    def set_background(self, *, mbps_up: float, mbps_down: float) -> None:
        """Let filler compete in each direction from now on: 0 is none, ``math.inf`` as much as its turns give it.

        What came of it is in ``background_up`` and ``background_down``, apart from the connections' bytes.

        Raises:
            SettingError: a rate is negative or no number.
        """
        self.background_up.set_rate(mbps_up)
        self.background_down.set_rate(mbps_down)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._up.run(), name="relay-up")
            tasks.create_task(self._down.run(), name="relay-down")
            tasks.create_task(self.background_up.run(), name="relay-background-up")
            tasks.create_task(self.background_down.run(), name="relay-background-down")
            while True:
                with contextlib.suppress(ConnectionError):
                    client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
                    tasks.create_task(self._carry(client), name="relay-connection")

    async def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as upstream:
            prepare(client)
            prepare(upstream)
            await self._link_carries.wait()
            try:
                await asyncio.get_running_loop().sock_connect(upstream, self._upstream)
            except OSError:
                reset_on_close(client)
                return
            up = Half(client, upstream, self._up, self._count_up)
            down = Half(upstream, client, self._down, self._count_down)
            await join(up, down)

    def _count_up(self, size_bytes: int) -> None:
        self.bytes_up += size_bytes

    def _count_down(self, size_bytes: int) -> None:
        self.bytes_down += size_bytes


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


def _listener(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        prepare(listener)
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


if __name__ == "__main__":
    # The command stands in a file of its own, which imports this one.
    from loadtests.relay_command import main

    main()
