"""A replica in virtual time: the real waiting room, or plain first come first served, and batches that are made up."""

import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from serve_apps.service_times import ServiceTimes
from serve_apps.waiting_room import WaitingRoom

MAX_WAITING = 256


@dataclass(frozen=True)
class Machine:
    """What batches take: a first frame, so much of that for each further one, and noise (of the logarithm)."""

    alone_s: float
    ratio: float
    noise: float
    max_batch: int = 16

    @property
    def capacity(self):
        """Frames a second in full batches."""
        return self.max_batch / (self.alone_s * (1 + (self.max_batch - 1) * self.ratio))

    def seconds(self, frames, rng):
        return self.alone_s * (1 + (frames - 1) * self.ratio) * rng.lognormvariate(0, self.noise)


@dataclass(frozen=True)
class Arrival:
    at_s: float
    device: str
    budget_s: float


@dataclass
class Outcome:
    """Frames by device: answered in time, answered late, and turned away; and when each was turned away."""

    good: Counter = field(default_factory=Counter)
    late: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    latencies_s: list = field(default_factory=list)
    refused_after_s: list = field(default_factory=list)

    def answer(self, device, since_s, until_s, now):
        (self.good if now <= until_s else self.late)[device] += 1
        self.latencies_s.append(now - since_s)

    def refuse(self, device, since_s, now):
        self.refused[device] += 1
        self.refused_after_s.append(now - since_s)

    @property
    def total(self):
        return self.good.total() + self.late.total() + self.refused.total()


def cameras(count, rate, seconds, budget_s, *, seed=1, name="camera", spread=0.2):
    """Give the frames of so many cameras that send ``rate`` frames a second all together, evenly but not exactly so."""
    rng = random.Random(seed)
    arrivals = []
    for number in range(count):
        period_s = count / rate
        at_s = rng.random() * period_s
        while at_s < seconds:
            budget = budget_s * rng.uniform(1 - spread, 1 + spread)
            arrivals.append(Arrival(at_s, f"{name} {number}", budget))
            at_s += period_s * rng.uniform(0.8, 1.2)
    return arrivals


class FairReplica:
    """What the batcher does, on a clock of its own."""

    def __init__(self, machine):
        self._room = WaitingRoom(ServiceTimes(), max_batch=machine.max_batch, max_waiting=MAX_WAITING)
        self._running = None

    def arrive(self, arrival, now, outcome):
        self._turn_away(self._room.expire(now), now, outcome)
        entered = self._room.enter(None, device=arrival.device, budget_s=arrival.budget_s, now=now)
        self._turn_away(entered.turned_away, now, outcome)
        if entered.place is None:
            outcome.refuse(arrival.device, now, now)

    def next_batch(self, now, outcome):
        batch, gone = self._room.next_batch(now)
        self._turn_away(gone, now, outcome)
        if batch:
            self._running = self._room.begin(len(batch), now)
        return [(waiting.device, waiting.since_s, waiting.until_s) for waiting in batch]

    def done(self, now):
        self._room.end(self._running, now, well=True)

    def _turn_away(self, gone, now, outcome):
        for waiting in gone:
            outcome.refuse(waiting.device, waiting.since_s, now)


class PlainReplica:
    """First come, first served; what has expired is left out, and a full queue takes nothing."""

    def __init__(self, machine):
        self._max_batch = machine.max_batch
        self._queue = deque()

    def arrive(self, arrival, now, outcome):
        if len(self._queue) >= MAX_WAITING:
            outcome.refuse(arrival.device, now, now)
        else:
            self._queue.append((arrival.device, now, now + arrival.budget_s))

    def next_batch(self, now, outcome):
        batch = []
        while self._queue and len(batch) < self._max_batch:
            device, since_s, until_s = self._queue.popleft()
            if until_s < now:
                outcome.refuse(device, since_s, now)
            else:
                batch.append((device, since_s, until_s))
        return batch

    def done(self, now):
        pass


def play(arrivals, machine, kind=FairReplica, *, seed=3):
    """Have a replica answer what arrives, and go on until nothing is left."""
    rng, replica, outcome = random.Random(seed), kind(machine), Outcome()
    coming = deque(sorted(arrivals, key=lambda arrival: arrival.at_s))
    batch, done_s = [], math.inf
    while coming or batch:
        if coming and coming[0].at_s <= done_s:
            now = coming[0].at_s
            replica.arrive(coming.popleft(), now, outcome)
            if batch:
                continue
        else:
            now = done_s
            replica.done(now)
            for device, since_s, until_s in batch:
                outcome.answer(device, since_s, until_s, now)
        batch = replica.next_batch(now, outcome)
        done_s = now + machine.seconds(len(batch), rng) if batch else math.inf
    return outcome
