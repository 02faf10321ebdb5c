"""Closed-loop clients: each sends a message, waits for the answer, and sends the next.

Owns the measurement of rate and latency. The same clients measure every path, so that what they cost cancels out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from wire.errors import ClusterUnreachable

OPEN_TIMEOUT_S = 20.0

Exchange = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a number of clients saw together."""

    rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def measure_websocket(
    url: str, greeting: bytes | None, message: bytes, *, clients: int, duration_s: float
) -> Throughput:
    """Exchange binary messages over one WebSocket a client; ``greeting`` opens the stream and is answered once."""

    async def run() -> Throughput:
        sockets = [await _open(url, greeting) for _ in range(clients)]
        try:
            return await _measure([_exchange(socket, message) for socket in sockets], duration_s)
        finally:
            await asyncio.gather(*(socket.close() for socket in sockets))

    return uvloop.run(run())


def measure_post(url: str, message: bytes, *, clients: int, duration_s: float) -> Throughput:
    """POST messages over one kept-alive connection a client."""

    async def run() -> Throughput:
        connector = aiohttp.TCPConnector(limit=clients)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def post() -> None:
                async with session.post(url, data=message) as response:
                    response.raise_for_status()
                    await response.read()

            return await _measure([post] * clients, duration_s)

    return uvloop.run(run())


async def _open(url: str, greeting: bytes | None) -> ClientConnection:
    try:
        socket = await connect(url, compression=None, max_size=None, open_timeout=OPEN_TIMEOUT_S, proxy=None)
        if greeting is not None:
            await socket.send(greeting)
            await socket.recv()
    except OSError as error:
        raise ClusterUnreachable(f"{url} does not answer: {error}") from error
    return socket


def _exchange(socket: ClientConnection, message: bytes) -> Exchange:
    async def exchange() -> None:
        await socket.send(message)
        await socket.recv()

    return exchange


async def _measure(exchanges: list[Exchange], duration_s: float) -> Throughput:
    """Run all clients together; the first fifth of the time warms up and is not counted."""
    began = time.perf_counter()
    counted_from, until = began + duration_s / 5, began + duration_s
    latencies_s: list[float] = []

    async def client(exchange: Exchange) -> None:
        sent = time.perf_counter()
        while sent < until:
            await exchange()
            now = time.perf_counter()
            if sent >= counted_from:
                latencies_s.append(now - sent)
            sent = now

    async with asyncio.TaskGroup() as tasks:
        for exchange in exchanges:
            tasks.create_task(client(exchange))
    took_s = time.perf_counter() - counted_from
    p50, p95, p99 = np.percentile(latencies_s, [50, 95, 99]) * 1e3
    return Throughput(len(latencies_s) / took_s, float(p50), float(p95), float(p99))
