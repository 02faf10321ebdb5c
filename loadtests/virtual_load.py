"""What other users ask of a virtual cluster: so many frames a second."""

import random
from collections.abc import Generator, Sequence
from typing import Any, Literal

import simpy
from simpy.events import Event

from loadtests.virtual_cluster import VirtualCluster

Arrivals = Literal["poisson", "even"]


class BackgroundLoad:
    """Frames that come whenever they like (a Poisson process) or evenly, each by one of the options of ``rows``.

    Whoever asks gives up after ``budget_s``. Begins with no frame at all, until ``set_rate``.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cluster: VirtualCluster,
        rows: Sequence[int],
        *,
        budget_s: float,
        arrivals: Arrivals = "poisson",
        seed: int = 0,
    ) -> None:
        self._env, self._cluster = env, cluster
        self._rows, self._budget_s, self._arrivals = list(rows), budget_s, arrivals
        self._random = random.Random(seed)
        self._frames_s = 0.0
        self.asked_s = [0.0] * len(cluster.points)
        """As ``VirtualCluster.asked_s``, of these frames alone."""
        self._runs = env.process(self._run())

    def set_rate(self, frames_s: float) -> None:
        """Ask for so many frames a second from now on."""
        self._frames_s = frames_s
        self._runs.interrupt()

    def _run(self) -> Generator[Event, Any, None]:
        while True:
            try:
                yield self._next()
            except simpy.Interrupt:
                continue  # at another rate the next arrival is drawn anew
            before_s = list(self._cluster.asked_s)
            self._cluster.exchange(self._random.choice(self._rows), budget_s=self._budget_s)
            for point, asked_s in enumerate(self._cluster.asked_s):
                self.asked_s[point] += asked_s - before_s[point]

    def _next(self) -> Event:
        if not self._frames_s:
            return self._env.event()
        even_s = 1 / self._frames_s
        return self._env.timeout(self._random.expovariate(1 / even_s) if self._arrivals == "poisson" else even_s)
