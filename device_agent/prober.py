"""The prober: measures the base delay while the link is up, and finds its return while it is down.

Owns two loops, which run until they are cancelled; the sockets are the transport's.
"""

import asyncio
import contextlib
import time
from typing import Final

from device_agent.cluster_info import Fetch, fetch_loads, wake_point
from device_agent.stream import TRAIN_BYTES, TRAIN_PATH_BYTES, PointStream
from device_agent.transport import Transport
from wire.errors import IsthmusError
from wire.ids import PointName

PROBE_EVERY_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 1.0
PING_EVERY_S: Final = 2.0
WAKE_EVERY_S: Final = 1.0
LOADS_EVERY_S: Final = 2.0
LOADS_AT_LEAST_EVERY_S: Final = 10.0
_PINGS_WITHOUT_ANSWER: Final = 20


async def keep_probing(transport: Transport, point: PointName) -> None:
    """While the link is down, ask every second or so whether it is back, on old streams and by a new one.

    A stream that outlived the outage answers at once where TCP was only held up; where packets were lost,
    TCP may wait for many seconds before it tries again, and a new connection is sooner.
    """
    while True:
        await transport.down.wait()
        begun_s = time.monotonic()
        await _probe(transport, point)
        await asyncio.sleep(max(PROBE_EVERY_S - (time.monotonic() - begun_s), 0.0))


async def keep_pinging(transport: Transport, point: PointName) -> None:
    """While the link is up, ping the stream used last, for the base delay and to notice an outage when idle.

    A stream to ``point`` is opened at once: a guessed delay must not keep the agent from ever sending. Where the link's
    estimate is stale, since nothing was sent for a while, a train of pings brings it up to date.
    """
    if transport.up.is_set():
        with contextlib.suppress(IsthmusError):
            await transport.stream_to(point)
    while True:
        await asyncio.sleep(PING_EVERY_S - PROBE_TIMEOUT_S)
        if transport.down.is_set():
            await transport.up.wait()
            continue
        if not transport.streams:
            await asyncio.sleep(PROBE_TIMEOUT_S)
            continue
        begun_s = time.monotonic()
        stream = transport.streams[-1]
        await _ping(transport, stream, measure=True)
        if transport.link.wants_probe(begun_s):
            await _send_train(transport, stream)
        await asyncio.sleep(PROBE_TIMEOUT_S)
        if transport.streams and transport.last_heard_s < begun_s:
            transport.mark_down("a ping was not answered")


async def keep_settling(transport: Transport) -> None:
    """Whenever an exchange was far too slow, have a train of pings tell whether that was a stall or the link.

    One only: a second one would meet the next frame on the link, and both would be held up.
    """
    while True:
        await transport.doubt.wait()
        await transport.up.wait()
        transport.doubt.clear()
        if transport.streams:
            await _send_train(transport, transport.streams[-1])


async def keep_loads(transport: Transport, fetch: Fetch) -> None:
    """While the link is up, read the load signals of the points that no frame visits: seldom, while nothing queues."""
    wait_s = LOADS_EVERY_S
    while True:
        await asyncio.sleep(wait_s)
        if transport.down.is_set():
            continue
        try:
            loads = await asyncio.to_thread(fetch_loads, fetch)
        except IsthmusError:
            # The next results and the next round tell the same.
            continue
        transport.cluster.note_loads(loads, now_s=time.monotonic())
        busy = any(load.queue_s > load.service_s for load in loads)
        wait_s = LOADS_EVERY_S if busy else min(2 * wait_s, LOADS_AT_LEAST_EVERY_S)


async def keep_waking(transport: Transport, fetch: Fetch) -> None:
    """Have points that sleep started while they are wanted, and hear when they are awake."""
    while True:
        await transport.wanted.wait()
        transport.wanted.clear()
        for point in sorted(transport.to_wake):
            transport.to_wake.discard(point)
            with contextlib.suppress(IsthmusError):
                load = await asyncio.to_thread(wake_point, fetch, point)
                transport.cluster.note_loads([load], now_s=time.monotonic())
        # Whoever still wants one asks again.
        await asyncio.sleep(WAKE_EVERY_S)


async def _send_train(transport: Transport, stream: PointStream) -> None:
    def on_last(round_trip_s: float) -> None:
        if round_trip_s < PROBE_TIMEOUT_S:
            transport.link.note_train(TRAIN_PATH_BYTES, round_trip_s, now_s=time.monotonic())
        else:
            # An outage may have held it up, so all that is certain is that the link was not fast.
            transport.link.note_late(TRAIN_PATH_BYTES, PROBE_TIMEOUT_S, now_s=time.monotonic())
        transport.heard("pong")

    transport.probe_bytes += TRAIN_BYTES
    with contextlib.suppress(TimeoutError, IsthmusError):
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await stream.ping_train(on_last)


async def _probe(transport: Transport, point: PointName) -> None:
    old = transport.streams
    for stream in old:
        await _ping(transport, stream, measure=False)
        if stream.unanswered_pings > _PINGS_WITHOUT_ANSWER:
            stream.abort()
    opening = asyncio.create_task(transport.open(point))
    up = asyncio.create_task(transport.up.wait())
    try:
        await asyncio.wait((opening, up), timeout=PROBE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        opened = opening.result() if opening.done() else None
        if isinstance(opened, PointStream):
            transport.drop_streams(but=opened)
            for stream in old:
                stream.abort()
    finally:
        opening.cancel()
        up.cancel()
        await asyncio.gather(opening, up, return_exceptions=True)


async def _ping(transport: Transport, stream: PointStream, *, measure: bool) -> None:
    def on_pong(round_trip_s: float) -> None:
        # A pong that an outage held up says nothing of the base delay.
        if measure and round_trip_s < PROBE_TIMEOUT_S:
            transport.link.note_round_trip(round_trip_s, now_s=time.monotonic())
        transport.heard("pong")

    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await stream.ping(on_pong)
    except (TimeoutError, IsthmusError):
        # The stream is full or cut; its reader tells.
        return
