import asyncio
import json
import math
import random
import signal
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtests.link_script import LinkScript, LinkState
from loadtests.relay import Relay, play
from loadtests.relay_command import main
from loadtests.relay_connection import Address
from wire.errors import PortInUse

pytestmark = pytest.mark.service

FAST = LinkState(200.0, 0.0)
DOWN = LinkState(None, 0.0)
ROOT = Path(__file__).parents[2]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def upstream_of(handler: Handler) -> AsyncIterator[Address]:
    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(close_after, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


@asynccontextmanager
async def connection_to(address: Address) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(16384))
        await writer.drain()


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
    writer.write(b"end seen")


def reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def received_mbps(reader: asyncio.StreamReader, *, for_s: float) -> float:
    """Measure in five windows, since other processes may disturb one, and give the median."""
    await reader.readexactly(1)
    rates_mbps = []
    for _ in range(5):
        started_s, size_bytes = time.monotonic(), 0
        while time.monotonic() < started_s + for_s / 5:
            size_bytes += len(await reader.read(65536))
        rates_mbps.append(size_bytes * 8e-6 / (time.monotonic() - started_s))
    return statistics.median(rates_mbps)


async def counted_mbps(count: Callable[[], int], *, for_s: float) -> float:
    """The same of bytes that the relay counts."""
    rates_mbps = []
    for _ in range(5):
        started_s, before_bytes = time.monotonic(), count()
        await asyncio.sleep(for_s / 5)
        rates_mbps.append((count() - before_bytes) * 8e-6 / (time.monotonic() - started_s))
    return statistics.median(rates_mbps)


async def round_trip_s(streams: Streams, message: bytes = b"ping") -> float:
    reader, writer = streams
    started_s = time.monotonic()
    writer.write(message)
    assert await reader.readexactly(len(message)) == message
    return time.monotonic() - started_s


async def test_bytes_arrive_unchanged_and_in_order_in_both_directions() -> None:
    sent = random.Random(1).randbytes(1_000_000)
    async with (
        upstream_of(echo) as upstream,
        Relay(upstream, state=FAST) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(5):
            assert await reader.read(-1) == sent
        assert relay.bytes_up == relay.bytes_down == len(sent)


@pytest.mark.parametrize("rate_mbps", [1.1, 5.85, 20.0])
async def test_accuracy_of_the_emulator_a_bulk_transfer_down_runs_at_the_stated_rate(
    rate_mbps: float,
) -> None:
    async with (
        upstream_of(pour) as upstream,
        Relay(upstream, state=LinkState(rate_mbps, 0.005)) as relay,
        connection_to(relay.address) as (reader, _),
    ):
        assert await received_mbps(reader, for_s=2) == pytest.approx(rate_mbps, rel=0.05)


async def test_accuracy_of_the_emulator_a_bulk_transfer_up_runs_at_the_stated_rate() -> None:
    async with (
        upstream_of(swallow) as upstream,
        Relay(upstream, state=LinkState(20.0, 0.005)) as relay,
        connection_to(relay.address) as (_, writer),
    ):
        writer.write(bytes(5_000_000))
        await asyncio.sleep(0.1)
        assert await counted_mbps(lambda: relay.bytes_up, for_s=1) == pytest.approx(20.0, rel=0.05)
        writer.transport.abort()


async def test_accuracy_of_the_emulator_a_small_round_trip_has_the_delay_added_twice() -> None:
    async with (
        upstream_of(echo) as upstream,
        Relay(upstream, state=LinkState(200.0, 0.02)) as relay,
        connection_to(relay.address) as streams,
    ):
        median_s = statistics.median([await round_trip_s(streams) for _ in range(15)])
        assert 0.040 <= median_s < 0.045


async def test_during_an_outage_nothing_arrives_and_after_it_everything_does() -> None:
    sent = random.Random(2).randbytes(100_000)
    async with (
        upstream_of(echo) as upstream,
        Relay(upstream, state=LinkState(4.0, 0.005)) as relay,
        connection_to(relay.address) as streams,
    ):
        reader, writer = streams
        await round_trip_s(streams)
        writer.write(sent)
        await asyncio.sleep(0.05)
        relay.set_state(DOWN)
        await asyncio.sleep(0.02)
        before = (relay.bytes_up, relay.bytes_down)
        await asyncio.sleep(0.3)
        assert (relay.bytes_up, relay.bytes_down) == before
        relay.set_state(FAST)
        async with asyncio.timeout(2):
            assert await reader.readexactly(len(sent)) == sent


async def test_a_connection_made_during_an_outage_is_accepted_and_answered_after_it() -> None:
    async with (
        upstream_of(echo) as upstream,
        Relay(upstream, state=DOWN) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        relay.set_state(FAST)
        async with asyncio.timeout(2):
            assert await reader.readexactly(5) == b"hello"


async def test_a_stalled_link_loses_nothing_and_delivers_only_what_was_under_way() -> None:
    sent = random.Random(3).randbytes(100_000)
    async with (
        upstream_of(echo) as upstream,
        Relay(upstream, state=LinkState(4.0, 0.005)) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(sent)
        await asyncio.sleep(0.05)
        relay.set_state(LinkState(0.0, 0.005))
        await asyncio.sleep(0.05)
        before = (relay.bytes_up, relay.bytes_down)
        await asyncio.sleep(0.2)
        assert (relay.bytes_up, relay.bytes_down) == before
        assert relay.bytes_up > 0
        relay.set_state(FAST)
        async with asyncio.timeout(2):
            assert await reader.readexactly(len(sent)) == sent


async def test_two_greedy_connections_get_equal_shares() -> None:
    async with (
        upstream_of(pour) as upstream,
        Relay(upstream, state=LinkState(10.0, 0.005), queue_bytes=32 * 1024) as relay,
        connection_to(relay.address) as (one, _),
        connection_to(relay.address) as (other, _),
    ):
        rates_mbps = await asyncio.gather(received_mbps(one, for_s=2), received_mbps(other, for_s=2))
        assert sum(rates_mbps) == pytest.approx(10.0, rel=0.1)
        assert max(rates_mbps) <= 1.1 * min(rates_mbps)


@pytest.mark.parametrize("queue_bytes", [32 * 1024, 128 * 1024])
async def test_a_small_message_waits_behind_the_queue_that_a_greedy_connection_keeps_full(queue_bytes: int) -> None:
    async def pour_or_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (pour if await reader.readexactly(4) == b"pour" else echo)(reader, writer)

    async with (
        upstream_of(pour_or_echo) as upstream,
        Relay(upstream, state=LinkState(8.0, 0.005), queue_bytes=queue_bytes) as relay,
        connection_to(relay.address) as (bulk, bulk_writer),
        connection_to(relay.address) as (reader, writer),
    ):
        bulk_writer.write(b"pour")
        writer.write(b"echo")
        emptying = asyncio.create_task(received_mbps(bulk, for_s=2))
        await asyncio.sleep(0.5)
        median_s = statistics.median([await round_trip_s((reader, writer)) for _ in range(5)])
        emptying.cancel()

    assert median_s == pytest.approx(2 * 0.005 + queue_bytes / 1e6, abs=0.015)


async def test_a_background_flow_takes_its_rate_and_leaves_the_rest_to_the_connections() -> None:
    async with (
        upstream_of(pour) as upstream,
        Relay(upstream, state=LinkState(10.0, 0.005)) as relay,
        connection_to(relay.address) as (reader, _),
    ):
        relay.set_background(mbps_up=0, mbps_down=4)
        await received_mbps(reader, for_s=0.5)
        ours_mbps, others_mbps = await asyncio.gather(
            received_mbps(reader, for_s=1.5),
            counted_mbps(lambda: relay.background_down.delivered_bytes, for_s=1.5),
        )
        assert ours_mbps == pytest.approx(6.0, rel=0.05)
        assert others_mbps == pytest.approx(4.0, rel=0.05)
        assert relay.background_up.delivered_bytes == 0

        relay.set_background(mbps_up=0, mbps_down=0)
        await received_mbps(reader, for_s=0.5)
        assert await received_mbps(reader, for_s=1) == pytest.approx(10.0, rel=0.05)


async def test_a_greedy_background_flow_takes_one_connections_share_and_loses_nothing() -> None:
    async with (
        upstream_of(pour) as upstream,
        Relay(upstream, state=LinkState(10.0, 0.005), queue_bytes=32 * 1024) as relay,
        connection_to(relay.address) as (reader, _),
    ):
        relay.set_background(mbps_up=0, mbps_down=math.inf)
        await received_mbps(reader, for_s=0.2)
        assert await received_mbps(reader, for_s=1) == pytest.approx(5.0, rel=0.1)
        assert relay.background_down.dropped_bytes == 0


async def test_a_background_flow_drops_what_finds_the_queue_full_and_counts_it() -> None:
    async with Relay(("127.0.0.1", 9), state=LinkState(4.0, 0.0), queue_bytes=16 * 1024) as relay:
        relay.set_background(mbps_up=10, mbps_down=0)
        await asyncio.sleep(1.0)
        flow = relay.background_up
        assert flow.delivered_bytes * 8e-6 == pytest.approx(4.0, rel=0.1)
        assert flow.dropped_bytes * 8e-6 == pytest.approx(6.0, rel=0.1)
        assert relay.bytes_up == 0


async def test_a_slower_rate_holds_at_once_for_what_is_queued() -> None:
    async with (
        upstream_of(pour) as upstream,
        Relay(upstream, state=LinkState(20.0, 0.0)) as relay,
        connection_to(relay.address) as (reader, _),
    ):
        await received_mbps(reader, for_s=0.3)
        relay.set_state(LinkState(2.0, 0.0))
        assert await received_mbps(reader, for_s=0.7) == pytest.approx(2.0, rel=0.1)


async def test_a_sender_is_held_back_when_the_queue_is_full() -> None:
    async with (
        upstream_of(swallow) as upstream,
        Relay(upstream, state=DOWN, queue_bytes=16 * 1024) as relay,
    ):
        relay.set_state(LinkState(0.01, 0.0))
        with socket.create_connection(relay.address) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            client.settimeout(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.get_running_loop().sock_sendall(client, bytes(4_000_000))


async def test_a_receiver_that_does_not_read_does_not_stop_the_other_connections() -> None:
    async with upstream_of(pour) as upstream, Relay(upstream, state=LinkState(50.0, 0.0)) as relay:
        with socket.create_connection(relay.address) as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with connection_to(relay.address) as (reader, _):
                await received_mbps(reader, for_s=1.0)
                assert await received_mbps(reader, for_s=0.5) == pytest.approx(50.0, rel=0.1)


async def test_a_half_close_is_passed_on_and_the_answer_still_comes_back() -> None:
    async with (
        upstream_of(swallow) as upstream,
        Relay(upstream, state=LinkState(20.0, 0.005)) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(b"question")
        writer.write_eof()
        async with asyncio.timeout(2):
            assert await reader.read(-1) == b"end seen"


async def test_closing_the_upstream_closes_the_client() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async with (
        upstream_of(hang_up) as upstream,
        Relay(upstream, state=FAST) as relay,
        connection_to(relay.address) as (reader, _),
    ):
        async with asyncio.timeout(2):
            assert await reader.read(-1) == b"bye"


async def test_a_client_that_is_cut_cuts_the_upstream_and_leaves_the_relay_at_work() -> None:
    cut = asyncio.Event()

    async def until_cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await echo(reader, writer)
        except ConnectionResetError:
            cut.set()

    async with upstream_of(until_cut) as upstream, Relay(upstream, state=FAST) as relay:
        client = socket.create_connection(relay.address)
        await asyncio.sleep(0.05)
        reset_on_close(client)
        client.close()
        async with asyncio.timeout(2):
            await cut.wait()
        async with connection_to(relay.address) as streams:
            assert await round_trip_s(streams) < 1


async def test_an_upstream_that_is_cut_while_it_sends_cuts_the_client() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset_on_close(writer.get_extra_info("socket"))
        writer.transport.abort()

    async with (
        upstream_of(cut) as upstream,
        Relay(upstream, state=FAST) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(bytes(2_000_000))
        async with asyncio.timeout(2):
            with pytest.raises(ConnectionError):
                await reader.read(-1)


async def test_a_client_that_goes_on_sending_to_a_closed_upstream_gets_the_answer_and_is_then_cut() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(b"enough")

    async with (
        upstream_of(answer) as upstream,
        Relay(upstream, state=LinkState(20.0, 0.005)) as relay,
        connection_to(relay.address) as (reader, writer),
    ):
        writer.write(b"?")
        async with asyncio.timeout(2):
            assert await reader.read(-1) == b"enough"
            with pytest.raises(ConnectionError):
                await pour(reader, writer)


async def test_nobody_at_the_upstream_cuts_the_client_and_the_relay_stays() -> None:
    async with upstream_of(echo) as gone:
        pass
    async with Relay(gone, state=FAST) as relay:
        for _ in range(2):
            async with connection_to(relay.address) as (reader, _), asyncio.timeout(2):
                with pytest.raises(ConnectionError):
                    await reader.read(1)


async def test_closing_the_relay_ends_every_connection_and_task() -> None:
    before = asyncio.all_tasks()
    async with upstream_of(echo) as upstream:
        async with Relay(upstream, state=FAST) as relay:
            reader, writer = await asyncio.open_connection(*relay.address)
            await round_trip_s((reader, writer))
        async with asyncio.timeout(2):
            assert await reader.read(-1) == b""
        writer.close()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_a_port_that_is_taken_is_a_typed_error() -> None:
    async with Relay(("127.0.0.1", 9), state=FAST) as relay:
        with pytest.raises(PortInUse):
            async with Relay(("127.0.0.1", 9), state=FAST, listen=relay.address):
                pass


async def test_play_applies_each_step_at_its_time() -> None:
    async with Relay(("127.0.0.1", 9), state=FAST) as relay:
        script = LinkScript.parse("0:20,0.2:down,0.4:5", delay_s=0.001)
        started_s, seen = time.monotonic(), []
        await play(relay, script, on_step=lambda step: seen.append((time.monotonic() - started_s, relay.state)))

    assert [state for _, state in seen] == [step.state for step in script.steps]
    assert [at_s for at_s, _ in seen] == pytest.approx([0.0, 0.2, 0.4], abs=0.05)


async def test_the_command_says_its_port_and_each_state_and_ends_well_on_sigterm() -> None:
    async with upstream_of(echo) as (host, port):
        arguments = [
            "--upstream",
            f"{host}:{port}",
            "--listen",
            "0",
            "--script",
            "0:20,0.3:5",
            "--delay-ms",
            "2",
        ]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "loadtests.relay", *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        async with asyncio.timeout(10):
            listening, first, second = [json.loads(await process.stdout.readline()) for _ in range(3)]
            async with connection_to(("127.0.0.1", listening["port"])) as streams:
                assert await round_trip_s(streams) >= 0.004
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0

    assert listening["event"] == "relay.listening"
    assert (first["event"], first["at_s"], first["rate_mbps"]) == ("relay.state", 0.0, 20.0)
    assert (second["at_s"], second["rate_mbps"], second["delay_s"]) == (0.3, 5.0, 0.002)
    assert second["unix_s"] - first["unix_s"] == pytest.approx(0.3, abs=0.1)


async def test_the_command_plays_a_window_of_a_trace_with_background_flows_and_says_what_it_carried(
    tmp_path: Path,
) -> None:
    trace = tmp_path / "link.csv"
    trace.write_text("time_s,mbps\n10.0,3\n10.2,0\n10.4,8\n", encoding="utf-8")
    async with upstream_of(echo) as (host, port):
        arguments = (
            f"--upstream {host}:{port} --trace {trace} --begin-s 0.1 --seconds 0.4"
            " --delay-ms 2 --jitter-ms 1 --queue-kb 64 --background-mbps 1 inf --seed 7"
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtests.relay", *arguments.split()), stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        async with asyncio.timeout(10):
            listening, *states = [json.loads(await process.stdout.readline()) for _ in range(4)]
            async with connection_to(("127.0.0.1", listening["port"])) as streams:
                await round_trip_s(streams)
            process.send_signal(signal.SIGTERM)
            stopped = json.loads(await process.stdout.readline())
            assert await process.wait() == 0

    assert [(state["at_s"], state["rate_mbps"]) for state in states] == [(0.0, 3.0), (0.1, 0.0), (0.3, 8.0)]
    assert {(state["delay_s"], state["jitter_s"]) for state in states} == {(0.002, 0.001)}
    assert stopped["event"] == "relay.stopped"
    assert stopped["bytes_up"] == stopped["bytes_down"] == len(b"ping")
    assert stopped["background_bytes_down"] > stopped["background_bytes_up"] > 0
    assert stopped["background_dropped_bytes_down"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--script 0:fast", "'fast'"),
        ("--script 0:20 --begin-s 5", "--begin-s and --seconds are of a trace"),
        ("--script 0:20 --trace link.csv", "give either --script or --trace"),
        ("", "give either --script or --trace"),
        ("--trace no-such.csv", "no-such.csv"),
        ("--script 0:20 --background-mbps -1 0", "cannot run at -1"),
        ("--script 0:20 --jitter-ms -1", "cannot jitter"),
    ],
)
def test_the_command_refuses_what_makes_no_sense_in_one_sentence(arguments: str, says: str) -> None:
    outcome = CliRunner().invoke(main, ["--upstream", "127.0.0.1:9", *arguments.split()])

    assert outcome.exit_code == 2
    assert says in outcome.stderr
    assert outcome.stderr.count("\n") == 1
