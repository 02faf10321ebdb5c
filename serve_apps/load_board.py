"""What the control application knows of every replica, what it says of each point, and what it tells replicas to do.

Owns the reports, the cold points and the orders. Imports no Ray; time is given.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from serve_apps.rebalance import ReplicaStreams, moves
from serve_apps.report import LONG_AGO_S, Orders, Report
from wire.errors import UnknownPoint
from wire.ids import BundleDigest, PointName
from wire.messages import LoadSignal, LoadState

FORGET_S: Final = 5.0
"""A replica that has not reported for so long is gone."""
ASLEEP_S: Final = 15.0
"""A point that may sleep is taken to do so when no replica was heard for so long: one that died is started again."""
COLD_START_S: Final = 10.0
"""Expected of a point whose start was never seen."""
WAKE_PATIENCE_S: Final = 120.0
"""A point that was asked to wake so long ago, and did not, may be asked again."""
SETTLE_S: Final = 2.0
"""What HAProxy takes to know of a change of the replicas; nobody is moved before."""
MOVE_EVERY_S: Final = 1.0

Merge = Callable[[Sequence[LoadSignal]], LoadSignal]
"""Makes one signal of those of a point's replicas, of which there is at least one."""

log = logging.getLogger("isthmus.control")


@dataclass(slots=True)
class _Point:
    sleeps: bool
    """Whether it may have no replica."""
    reports: dict[str, tuple[Report, float]]
    service_s: float = 0.0
    cold_start_s: float = COLD_START_S
    woken_s: float | None = None
    """Since when it is being woken."""
    heard_s: float = float("-inf")
    """When a replica reported last."""
    moved_s: float = float("-inf")
    to_move: dict[str, int] | None = None


class LoadBoard:
    """The newest report of each replica of each point."""

    def __init__(self, merge: Merge, *, now_s: float) -> None:
        self._merge = merge
        self._points: dict[PointName, _Point] = {}
        self._changed_s = now_s

    def expect(self, sleeping: dict[PointName, bool]) -> None:
        """Have these points and no others; the value says whether a point may go to sleep."""
        for name, sleeps in sleeping.items():
            self._points.setdefault(name, _Point(sleeps, {})).sleeps = sleeps
        for name in self._points.keys() - sleeping.keys():
            del self._points[name]

    def note(self, report: Report, now_s: float) -> Orders:
        """Take a replica's report, and give it its orders.

        Raises:
            UnknownPoint: it is of a point that is served no more, or not yet.
        """
        point = self._point(report.load.point)
        if report.replica not in point.reports and report.load.state != "draining":
            self._note_start(report.load.point, point, now_s)
        point.reports[report.replica] = (report, now_s)
        point.service_s, point.heard_s = report.load.service_s, now_s
        self._changed_s = max(self._changed_s, now_s - report.settled_s)
        self._forget(now_s)
        changed_s = now_s - self._changed_s
        return Orders(move=self._moves(point, report.replica, now_s), changed_s=min(max(changed_s, 0.0), LONG_AGO_S))

    def signals(self, now_s: float) -> list[LoadSignal]:
        """Give the signal of every point."""
        self._forget(now_s)
        return [self._signal(name, point, now_s) for name, point in self._points.items()]

    def wake(self, name: PointName, now_s: float) -> bool:
        """Note that a point is wanted, and tell whether somebody has to be told to start it.

        Raises:
            UnknownPoint: there is none of that name.
        """
        point = self._point(name)
        self._forget(now_s)
        waking = point.woken_s is not None and now_s - point.woken_s < WAKE_PATIENCE_S
        if point.reports or waking:
            return False
        point.woken_s = now_s
        return True

    def signal(self, name: PointName, now_s: float) -> LoadSignal:
        """Give the signal of one point; raises UnknownPoint if there is none of that name."""
        self._forget(now_s)
        return self._signal(name, self._point(name), now_s)

    def reports(self, now_s: float) -> list[Report]:
        """Give the newest report of every replica."""
        self._forget(now_s)
        return [report for point in self._points.values() for report, _ in point.reports.values()]

    def behind(self, newest: BundleDigest, now_s: float) -> tuple[int, int, tuple[str, ...]]:
        """Give how many replicas do not serve a bundle yet, how many streams use older ones, and what went wrong."""
        reports = self.reports(now_s)
        late = [report for report in reports if newest not in report.bundles]
        return len(late), sum(report.behind for report in reports), tuple(sorted({r.fault for r in late if r.fault}))

    def _point(self, name: PointName) -> _Point:
        try:
            return self._points[name]
        except KeyError:
            served = ", ".join(self._points)
            raise UnknownPoint(f"the cluster serves no point {name[:128]!r}", mend=f"one of: {served}") from None

    def _note_start(self, name: PointName, point: _Point, now_s: float) -> None:
        self._changed_s = now_s
        if point.woken_s is not None:
            point.cold_start_s = now_s - point.woken_s
            point.woken_s = None
            log.info("point.woken %s after %.1f s", name, point.cold_start_s)

    def _forget(self, now_s: float) -> None:
        for point in self._points.values():
            for replica, (_, noted_s) in list(point.reports.items()):
                if now_s - noted_s > FORGET_S:
                    del point.reports[replica]
                    self._changed_s = now_s

    def _signal(self, name: PointName, point: _Point, now_s: float) -> LoadSignal:
        loads = [report.load for report, _ in point.reports.values()]
        serving = [load for load in loads if load.state != "draining"]
        if serving or (loads and not point.sleeps):
            return self._merge(serving or loads)
        if point.woken_s is not None:
            waited_s = now_s - point.woken_s
            return _idle(name, "starting", point, cold_start_s=max(0.0, point.cold_start_s - waited_s))
        asleep = point.sleeps and (bool(loads) or now_s - point.heard_s > ASLEEP_S)
        return _idle(name, "cold" if asleep else "starting", point, cold_start_s=point.cold_start_s)

    def _moves(self, point: _Point, replica: str, now_s: float) -> int:
        if now_s - self._changed_s < SETTLE_S:
            return 0
        if point.to_move is None or now_s - point.moved_s >= MOVE_EVERY_S:
            staying = {
                name: ReplicaStreams(report.streams, report.load.utilisation)
                for name, (report, _) in point.reports.items()
                if report.load.state != "draining"
            }
            point.to_move, point.moved_s = moves(staying), now_s
        return point.to_move.pop(replica, 0)


def _idle(name: PointName, state: LoadState, point: _Point, *, cold_start_s: float) -> LoadSignal:
    return LoadSignal(
        point=name,
        state=state,
        service_s=point.service_s,
        queue_s=0.0,
        utilisation=0.0,
        in_flight=0,
        replicas=0,
        cold_start_s=cold_start_s,
    )
