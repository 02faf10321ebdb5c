"""The cluster in virtual time: answers exchanges, batches what waits, and publishes the load of each point.

Owns the queues and what they cost. What turns seconds into a load signal is given (``MakeMeter``, which
``serve_apps.load_meter.LoadMeter`` is), so that the signal that agents act on is the cluster's own.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import simpy
from simpy.events import Event

from device_agent.option_table import OptionTable
from loadtests.frame_tables import FrameTables
from wire.errors import SettingError
from wire.ids import PointName
from wire.messages import LoadSignal, LoadState

MAX_BATCH: Final = 16
MAX_WAITING: Final = 256
"""Of one cluster graph, as in a replica; beyond it a frame is refused."""
BATCH_SLOPE: Final = 0.6
"""A batch of n takes 1 + (n − 1) × this times what one frame takes; of Lite0's tails on a CPU."""

Refusal = Literal["overloaded", "deadline_exceeded"]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What the cluster gives back: its own seconds for it, queue and all, and how the point stands now."""

    cluster_s: float
    load: LoadSignal
    refusal: Refusal | None = None


class Meter(Protocol):
    """What a point knows of its own load; times are of the simulation."""

    in_flight: int
    state: LoadState

    def answered(self, *, service_s: float, queue_s: float, busy_s: float, now: float) -> None:
        """Note one answered frame; ``busy_s`` is its share of the batch's time."""

    def signal(self, now: float) -> LoadSignal:
        """Say how the point stands."""


class MakeMeter(Protocol):
    """Makes the meter of one point; ``unloaded_s`` is what a frame takes when there is nothing else to do."""

    def __call__(self, point: PointName, *, unloaded_s: float, now: float) -> Meter:
        """Make it."""


@dataclass(slots=True)
class _Waiting:
    row: int
    point: int
    since_s: float
    until_s: float
    answer: Event


@dataclass(slots=True)
class _Pool:
    """So many servers, and the queues that they empty; one queue a cluster graph, since a batch runs one graph."""

    free: int
    queues: list[deque[_Waiting]] = field(default_factory=list)

    def fullest_wait(self) -> deque[_Waiting] | None:
        """Give the queue whose first frame has waited longest."""
        return min((queue for queue in self.queues if queue), key=lambda queue: queue[0].since_s, default=None)


class VirtualCluster:
    """Answers exchanges of the options of ``tables``.

    With ``servers`` None nothing ever queues, and an exchange takes what was measured. Else there are so many servers,
    ``shared`` by all the points or for each of them, and a free one takes all that waits for the graph whose first
    frame has waited longest, up to ``max_batch``.

    Raises:
        SettingError: there is no server, or servers but no meter to tell of them.
    """

    def __init__(
        self,
        env: simpy.Environment,
        tables: FrameTables,
        servers: int | None = None,
        *,
        make_meter: MakeMeter | None = None,
        shared: bool = True,
        max_batch: int = MAX_BATCH,
        batch_slope: float = BATCH_SLOPE,
    ) -> None:
        if servers is not None and (servers < 1 or make_meter is None):
            raise SettingError(
                f"a cluster of {servers} servers {'without' if make_meter is None else 'with'} a meter",
                mend="give at least one server, and what makes the meter of a point",
            )
        table = OptionTable.of(tables.options)
        self.points = table.points
        self._env = env
        self._cluster_s = tables.cluster_s.tolist()
        self._point_of = table.point_of.tolist()
        self._max_batch, self._batch_slope = max_batch, batch_slope
        self.asked_s = [0.0] * len(self.points)
        """Seconds of service that were asked for so far, one at a time, by point."""
        self.busy_s = 0.0
        """Seconds that servers have worked so far, all together."""
        self._pools = _pools(tables, self._point_of, servers, shared=shared) if servers is not None else None
        self._steady = [self._steady_load(point) for point in range(len(self.points))]
        self._meters: list[Meter] = []
        if make_meter is not None and self._pools is not None:
            self._meters = [self._meter(point, make_meter) for point in range(len(self.points))]

    @property
    def waiting(self) -> int:
        """How many frames wait for a server."""
        if self._pools is None:
            return 0
        pools = {id(pool): pool for pool, _ in self._pools.values()}
        return sum(len(queue) for pool in pools.values() for queue in pool.queues)

    def exchange(self, row: int, *, budget_s: float = math.inf) -> Event:
        """Ask for the tail of one look by the option of a row; the event's value is an ``Exchanged``."""
        point = self._point_of[row]
        self.asked_s[point] += self._cluster_s[row]
        if self._pools is None:
            self.busy_s += self._cluster_s[row]
            return self._env.timeout(self._cluster_s[row], Exchanged(self._cluster_s[row], self._steady[point]))
        answer = self._env.event()
        now_s = self._env.now
        pool, queue = self._pools[row]
        if len(queue) >= MAX_WAITING:
            return answer.succeed(Exchanged(0.0, self._load(point), "overloaded"))
        self._meters[point].in_flight += 1
        queue.append(_Waiting(row, point, now_s, now_s + budget_s, answer))
        self._serve(pool)
        return answer

    def loads(self) -> tuple[LoadSignal, ...]:
        """Say how every point stands."""
        return tuple(self._load(point) for point in range(len(self.points)))

    def _serve(self, pool: _Pool) -> None:
        while pool.free and (queue := pool.fullest_wait()) is not None:
            batch = self._next_batch(queue)
            if not batch:
                continue
            pool.free -= 1
            alone_s = sum(self._cluster_s[waiting.row] for waiting in batch) / len(batch)
            took_s = alone_s * (1 + (len(batch) - 1) * self._batch_slope)
            self._env.process(self._compute(pool, batch, took_s))

    def _next_batch(self, queue: deque[_Waiting]) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while queue and len(batch) < self._max_batch:
            waiting = queue.popleft()
            if waiting.until_s >= self._env.now:
                batch.append(waiting)
                continue
            self._meters[waiting.point].in_flight -= 1
            late_s = self._env.now - waiting.since_s
            waiting.answer.succeed(Exchanged(late_s, self._load(waiting.point), "deadline_exceeded"))
        return batch

    def _compute(self, pool: _Pool, batch: list[_Waiting], took_s: float) -> Any:
        began_s = self._env.now
        yield self._env.timeout(took_s)
        now_s = self._env.now
        self.busy_s += took_s
        for waiting in batch:
            meter = self._meters[waiting.point]
            meter.in_flight -= 1
            queue_s, share_s = began_s - waiting.since_s, took_s / len(batch)
            meter.answered(service_s=took_s, queue_s=queue_s, busy_s=share_s, now=now_s)
            waiting.answer.succeed(Exchanged(now_s - waiting.since_s, meter.signal(now_s)))
        pool.free += 1
        self._serve(pool)

    def _load(self, point: int) -> LoadSignal:
        return self._meters[point].signal(self._env.now) if self._meters else self._steady[point]

    def _meter(self, point: int, make_meter: MakeMeter) -> Meter:
        rows = [row for row, at in enumerate(self._point_of) if at == point]
        unloaded_s = min(self._cluster_s[row] for row in rows)
        meter = make_meter(self.points[point], unloaded_s=unloaded_s, now=self._env.now)
        meter.state = "ready"
        return meter

    def _steady_load(self, point: int) -> LoadSignal:
        """Give what is published of a point that never has anything else to do."""
        seconds = [self._cluster_s[row] for row, at in enumerate(self._point_of) if at == point]
        return LoadSignal(
            point=self.points[point], state="ready", service_s=sum(seconds) / len(seconds), queue_s=0.0,
            utilisation=0.0, in_flight=0, replicas=1,
        )  # fmt: skip


def _pools(
    tables: FrameTables, point_of: list[int], servers: int, *, shared: bool
) -> dict[int, tuple[_Pool, deque[_Waiting]]]:
    """Give every option that sends the pool that serves it and the queue of its graph."""
    pools: dict[int, _Pool] = {}
    queues: dict[tuple[int, str | None], deque[_Waiting]] = {}
    of_row = {}
    for row, option in enumerate(tables.options):
        if option.coder == "none":
            continue
        pool = pools.setdefault(0 if shared else point_of[row], _Pool(servers))
        key = (point_of[row], option.cluster_graph)
        if key not in queues:
            queues[key] = deque()
            pool.queues.append(queues[key])
        of_row[row] = (pool, queues[key])
    return of_row
