"""What a replica does before Serve stops it: its agents are sent elsewhere while it still answers them.

Serve tells a replica's code nothing before it closes its sockets; but from the moment that it begins to stop one, the
replica's own health page says so. Owns the watch on that page. Imports no Ray.
"""

import asyncio
import http.client
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import psutil

from serve_apps.stream_roster import StreamRoster

LOOK_EVERY_S: Final = 0.25
LOOK_TIMEOUT_S: Final = 1.0
DEREGISTER_S: Final = 0.75
"""What HAProxy takes to send nobody here any more (it starts anew for that): an agent that is asked to connect again
before would come back."""
ROUND_S: Final = 0.25
DRAIN_GRACE_S: Final = 1.5
HEALTH_PATH: Final = "/-/healthz"
DRAINING: Final = b"DRAINING"

log = logging.getLogger("isthmus.tail")


class Drain:
    """Empties a replica as soon as it is being stopped."""

    def __init__(self, roster: StreamRoster, is_stopping: Callable[[], Awaitable[bool]]) -> None:
        self._roster, self._is_stopping = roster, is_stopping
        self.draining = False

    async def run(self) -> None:
        """Watch, and once the replica is being stopped ask every stream to go; until cancelled."""
        while True:
            if await self._is_stopping():
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self.draining = True
        log.info("replica.draining, with %d streams", len(self._roster))
        await asyncio.sleep(DEREGISTER_S)
        while True:
            await self._roster.send_away(len(self._roster), "the replica stops", grace_s=DRAIN_GRACE_S)
            await asyncio.sleep(ROUND_S)


class OwnHealthPage:
    """Asks the page where this replica says whether it is being stopped.

    Its port is learnt from the streams that come in, so a replica that never had one is never asked; it has nobody to
    send away.
    """

    def __init__(self, roster: StreamRoster) -> None:
        self._roster = roster
        self._port: int | None = None
        self._foreign: set[int] = set()

    async def __call__(self) -> bool:
        """Tell whether Serve stops this replica."""
        return len(self._roster) > 0 and await asyncio.to_thread(self._ask)

    def _ask(self) -> bool:
        port = self._own_port()
        if port is None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LOOK_TIMEOUT_S)
        try:
            connection.request("GET", HEALTH_PATH)
            response = connection.getresponse()
            return response.status != http.HTTPStatus.OK and DRAINING in response.read(64)
        except (OSError, http.client.HTTPException):
            return False  # asked again in a moment
        finally:
            connection.close()

    def _own_port(self) -> int | None:
        """Give the port that this process listens on; a stream may also come by Serve's own proxy, through its port."""
        server = self._roster.server
        if self._port is None and server is not None and server[1] not in self._foreign:
            own = {
                connection.laddr.port
                for connection in psutil.Process().net_connections("inet")
                if connection.status == psutil.CONN_LISTEN and connection.laddr
            }
            if server[1] in own:
                self._port = server[1]
            else:
                self._foreign.add(server[1])
        return self._port
