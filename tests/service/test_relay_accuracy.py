"""How exactly the link emulator does what a trace says, measured through real sockets.

Other processes disturb whatever is timed here, so every figure is a median over several windows.
"""

import asyncio
import random
import statistics
import struct
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadtests.link_script import LinkState
from loadtests.link_trace import LinkTrace
from loadtests.precise_loop import run_precisely
from loadtests.relay import Relay, play

pytestmark = pytest.mark.service

WINDOWS = 5
BINS = 6
"""In one window."""
MESSAGES = 50
BIN_S = 0.2
WINDOW_S = BINS * BIN_S
DELAY_S = 0.005
JITTER_S = 0.004
SENT_AT = struct.Struct("d56x")
"""A message of 64 bytes that says when it was sent."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Arrivals = list[tuple[float, int]]
"""When bytes arrived, and how many."""


@asynccontextmanager
async def both_ends(state: LinkState) -> AsyncIterator[tuple[Relay, Streams, Streams]]:
    """A relay, and the client's and the upstream's end of one connection through it."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: accepted.put_nowait(streams), "127.0.0.1", 0)
    async with server, Relay(server.sockets[0].getsockname()[:2], state=state) as relay:
        client = await asyncio.open_connection(*relay.address)
        upstream = await accepted.get()
        try:
            yield relay, client, upstream
        finally:
            client[1].transport.abort()
            upstream[1].transport.abort()


@asynccontextmanager
async def running(*forever: Coroutine[None, None, None]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(each) for each in forever]
        yield
        for task in started:
            task.cancel()


async def pour(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(16384))
        await writer.drain()


async def note_arrivals(reader: asyncio.StreamReader, arrivals: Arrivals) -> None:
    while data := await reader.read(65536):
        arrivals.append((time.monotonic(), len(data)))


def recorded_trace(path: Path) -> LinkTrace:
    """Write and read what looks like an LTE uplink in a moving car: bins of 0.2 s, now and then with nothing."""
    dice = random.Random(5)
    mbps = 6.0
    lines = ["time_s,mbps"]
    for number in range(WINDOWS * BINS):
        mbps = min(18.0, max(0.3, mbps * dice.lognormvariate(0.0, 0.5)))
        lines.append(f"{100 + number * BIN_S:.1f},{0.0 if number % BINS == 3 else mbps:.4f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return LinkTrace.read(path)


async def window_ratios(trace: LinkTrace) -> dict[str, list[float]]:
    """Keep the link full while it plays the trace: what came out of it in each window, over what the trace carries."""
    up: Arrivals = []
    down: Arrivals = []
    ratios: dict[str, list[float]] = {"up": [], "down": []}
    async with (
        both_ends(LinkState(20.0, DELAY_S)) as (relay, client, upstream),
        running(pour(client[1]), pour(upstream[1]), note_arrivals(client[0], down), note_arrivals(upstream[0], up)),
    ):
        for window in range(WINDOWS):
            # The queues fill while nothing leaves them.
            relay.set_state(LinkState(0.0, DELAY_S))
            await asyncio.sleep(0.1)
            script = trace.script(delay_s=DELAY_S, begin_s=window * WINDOW_S, seconds=WINDOW_S)
            began_s = time.monotonic() + DELAY_S
            await play(relay, script)
            await asyncio.sleep(began_s + WINDOW_S - time.monotonic())
            carried_bytes = sum(trace.rates_mbps[window * BINS : (window + 1) * BINS]) * 1e6 / 8 * BIN_S
            for name, arrivals in (("up", up), ("down", down)):
                here = [size for at_s, size in arrivals if began_s < at_s <= began_s + WINDOW_S]
                ratios[name].append(sum(here) / carried_bytes)
    return ratios


def test_a_full_link_delivers_in_both_directions_what_the_trace_carries(tmp_path: Path) -> None:
    ratios = run_precisely(window_ratios(recorded_trace(tmp_path / "lte.csv")))

    assert statistics.median(ratios["up"]) == pytest.approx(1.0, abs=0.03)
    assert statistics.median(ratios["down"]) == pytest.approx(1.0, abs=0.03)


async def one_way_delays_s(*states: LinkState) -> list[list[list[float]]]:
    """Send small messages to and fro, one at a time, each in the next state of the link.

    Gives for each window, and in it for each state, how long each message was under way.
    """
    windows_s: list[list[list[float]]] = [[[] for _ in states] for _ in range(WINDOWS)]
    async with both_ends(states[0]) as (relay, client, upstream):
        for window_s in windows_s:
            for number in range(MESSAGES):
                (_, writer), (reader, _) = (client, upstream) if number % 2 else (upstream, client)
                for state, delays_s in zip(states, window_s, strict=True):
                    relay.set_state(state)
                    writer.write(SENT_AT.pack(time.monotonic()))
                    (sent_s,) = SENT_AT.unpack(await reader.readexactly(SENT_AT.size))
                    delays_s.append(time.monotonic() - sent_s)
    return windows_s


def test_a_small_message_on_an_idle_link_is_delayed_by_what_was_asked() -> None:
    windows_s = run_precisely(one_way_delays_s(LinkState(20.0, DELAY_S)))

    medians_s = [statistics.median(delays_s) for (delays_s,) in windows_s]
    assert statistics.median(medians_s) == pytest.approx(DELAY_S, abs=0.002)


def test_jitter_adds_its_mean_to_the_delay_of_a_small_message_on_an_idle_link() -> None:
    plain, jittery = LinkState(20.0, DELAY_S), LinkState(20.0, DELAY_S, JITTER_S)
    windows_s = run_precisely(one_way_delays_s(plain, jittery))

    # Whatever else disturbs a mean here disturbs both alike.
    added_s = [statistics.fmean(jittery_s) - statistics.fmean(plain_s) for plain_s, jittery_s in windows_s]
    assert statistics.median(added_s) == pytest.approx(JITTER_S, abs=0.002)
