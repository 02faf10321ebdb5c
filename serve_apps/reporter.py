"""Tells the control application how this replica stands, twice a second, and does what it is told back.

Owns the loop. How a report is made and sent is given; imports no Ray.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from serve_apps.load_board import SETTLE_S
from serve_apps.rebalance import refresh
from serve_apps.report import REPORT_EVERY_S, Orders, Report
from serve_apps.stream_roster import StreamRoster
from wire.ids import BundleDigest

SEND_TIMEOUT_S: Final = 5.0
TELL_WITHIN_S: Final = 5.0
"""Within about so long every agent hears of a new bundle."""

MakeReport = Callable[[], Report]
Send = Callable[[Report], Awaitable[Orders]]

log = logging.getLogger("isthmus.tail")


class Reporter:
    """One replica's side of the load board."""

    def __init__(self, make_report: MakeReport, send: Send, roster: StreamRoster) -> None:
        self._make_report, self._send, self._roster = make_report, send, roster

    async def run(self) -> None:
        """Report until cancelled; a control application that is away is asked again."""
        while True:
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    report = self._make_report()
                    orders = await self._send(report)
                await self._obey(report, orders)
            except Exception as error:  # noqa: BLE001 - a replica answers frames whatever becomes of its reports
                log.debug("report.failed: %r", error)
            await asyncio.sleep(max(0.0, REPORT_EVERY_S - (time.monotonic() - began_s)))

    async def _obey(self, report: Report, orders: Orders) -> None:
        if report.load.state == "draining":
            return  # all of them go anyway
        await self._tell_of_bundle(report.bundles[0], report)
        await self._roster.send_away(orders.move, "to even out the load")
        if orders.changed_s > SETTLE_S:
            age_s = orders.changed_s - SETTLE_S
            count = refresh(self._roster.older_than(age_s), since_s=orders.changed_s, every_s=REPORT_EVERY_S)
            await self._roster.send_away(count, "its way here will be closed", older_than_s=age_s)

    async def _tell_of_bundle(self, newest: BundleDigest, report: Report) -> None:
        """Have agents that were greeted before there was a new bundle be greeted again; once: then they know."""
        count = math.ceil(report.behind * REPORT_EVERY_S / TELL_WITHIN_S)
        await self._roster.send_away_others(newest, count, "there is a new bundle", older_than_s=report.settled_s)
