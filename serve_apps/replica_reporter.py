"""A replica's reports for people and Prometheus, on their way to the control application every two seconds.

Owns the loop; how a report is made and sent is given. Imports no Ray.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from serve_apps.logs import get_logger
from serve_apps.replica_watch import REPORT_EVERY_S, ReplicaSeen

SEND_TIMEOUT_S: Final = 5.0

log = get_logger("isthmus.tail")


class ReplicaReporter:
    """Sends what ``look`` gives with ``send``."""

    def __init__(
        self,
        look: Callable[[], ReplicaSeen],
        send: Callable[[ReplicaSeen], Awaitable[None]],
        *,
        every_s: float = REPORT_EVERY_S,
    ) -> None:
        self._look, self._send, self._every_s = look, send, every_s

    async def run(self) -> None:
        """Report until cancelled; a control application that is away is told again later."""
        failing = False
        while True:
            await asyncio.sleep(self._every_s)
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._send(self._look())
            except Exception as error:  # noqa: BLE001 - the control application may be starting, or away for a while
                if not failing:
                    log.info("report.not_sent", error=repr(error))
                failing = True
            else:
                failing = False
