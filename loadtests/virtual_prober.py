"""The agent's prober in virtual time: pings, trains of them, polls of the load, and knocking while the link is down.

Follows ``device_agent.prober`` and keeps its intervals. One thing is left out: the new connection that is tried during
an outage, since a virtual link loses nothing for good and an old stream's answer is always sooner.
"""

from collections.abc import Generator
from typing import Any, Final, cast

from simpy.events import Event

from device_agent.prober import (
    LOADS_AT_LEAST_EVERY_S,
    LOADS_EVERY_S,
    PING_EVERY_S,
    PROBE_TIMEOUT_S,
)
from device_agent.stream import TRAIN_BYTES, TRAIN_PATH_BYTES, TRAIN_PINGS
from loadtests.virtual_transport import Steps, VirtualTransport
from wire.ids import PointName
from wire.messages import LoadSignal

PING_BYTES: Final = (10, 8)
"""Up and down; a ping is masked, and both carry four bytes."""
TRAIN_PING_BYTES: Final = (131, 127)
POLL_BYTES: Final = ((60, 60), (200, 1000))
"""Up and down, of each round trip of a request over HTTP: TCP, and the request itself."""
POLL_TIMEOUT_S: Final = 3.0


def start_probing(transport: VirtualTransport, point: PointName) -> None:
    """Begin what the agent does beside its frames; ``point`` is knocked at."""
    for steps in (
        _keep_probing(transport, point),
        _keep_pinging(transport, point),
        _keep_settling(transport),
        _keep_loads(transport),
    ):
        transport.env.process(steps)


def _keep_probing(transport: VirtualTransport, point: PointName) -> Steps:
    env = transport.env
    while True:
        if not transport.is_down:
            yield transport.goes_down
        for _ in transport.streams:
            env.process(_ping(transport, measure=False))
        if not transport.streams:
            transport.open(point)
        yield transport.goes_up | env.timeout(PROBE_TIMEOUT_S)


def _keep_pinging(transport: VirtualTransport, point: PointName) -> Steps:
    env = transport.env
    yield transport.open(point)
    while True:
        yield env.timeout(PING_EVERY_S - PROBE_TIMEOUT_S)
        if transport.is_down:
            yield transport.goes_up
            continue
        if not transport.streams:
            yield env.timeout(PROBE_TIMEOUT_S)
            continue
        begun_s = env.now
        env.process(_ping(transport, measure=True))
        if transport.link.wants_probe(begun_s):
            env.process(_train(transport))
        yield env.timeout(PROBE_TIMEOUT_S)
        if transport.last_heard_s < begun_s:
            transport.mark_down()


def _keep_settling(transport: VirtualTransport) -> Steps:
    env = transport.env
    while True:
        yield transport.doubt
        if transport.is_down:
            yield transport.goes_up
        transport.doubt = env.event()
        if transport.streams:
            yield env.process(_train(transport)) | env.timeout(PROBE_TIMEOUT_S)


def _keep_loads(transport: VirtualTransport) -> Steps:
    env = transport.env
    wait_s = LOADS_EVERY_S
    while True:
        yield env.timeout(wait_s)
        if transport.is_down:
            continue
        polled = env.process(_poll(transport))
        yield polled | env.timeout(POLL_TIMEOUT_S)
        if not polled.processed:
            continue
        loads = cast(tuple[LoadSignal, ...], polled.value)
        transport.cluster.note_loads(loads, now_s=env.now)
        busy = any(load.queue_s > load.service_s for load in loads)
        wait_s = LOADS_EVERY_S if busy else min(2 * wait_s, LOADS_AT_LEAST_EVERY_S)


def _poll(transport: VirtualTransport) -> Generator[Event, Any, tuple[LoadSignal, ...]]:
    connect_bytes, ask_bytes = POLL_BYTES
    yield from transport.round_trip(*connect_bytes)
    yield transport.carried("up", ask_bytes[0])
    loads = transport.server.loads()
    yield transport.carried("down", ask_bytes[1])
    return loads


def _ping(transport: VirtualTransport, *, measure: bool) -> Steps:
    begun_s = transport.env.now
    yield from transport.round_trip(*PING_BYTES)
    round_trip_s = transport.env.now - begun_s
    # A pong that an outage held up says nothing of the base delay.
    if measure and round_trip_s < PROBE_TIMEOUT_S:
        transport.link.note_round_trip(round_trip_s, now_s=transport.env.now)
    transport.heard()


def _train(transport: VirtualTransport) -> Steps:
    env = transport.env
    begun_s = env.now
    transport.probe_bytes += TRAIN_BYTES
    yield env.all_of([env.process(transport.round_trip(*TRAIN_PING_BYTES)) for _ in range(TRAIN_PINGS)])
    round_trip_s = env.now - begun_s
    if round_trip_s < PROBE_TIMEOUT_S:
        transport.link.note_train(TRAIN_PATH_BYTES, round_trip_s, now_s=env.now)
    else:
        transport.link.note_late(TRAIN_PATH_BYTES, PROBE_TIMEOUT_S, now_s=env.now)
    transport.heard()
