"""The command `python -m loadtests.relay`: one emulated link as a process, which says what it does in JSON lines."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import click

from loadtests.bottleneck import QUEUE_BYTES
from loadtests.link_script import LinkScript, Step
from loadtests.link_trace import LinkTrace
from loadtests.precise_loop import run_precisely
from loadtests.relay import Relay, play
from loadtests.relay_connection import Address
from wire.errors import IsthmusError, SettingError


@click.command()
@click.option("--upstream", required=True, metavar="HOST:PORT", help="Where the connections go.")
@click.option("--listen", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 takes a free one.")
@click.option("--script", metavar="STEPS", help='Such as "0:20,25:1.1,50:down,65:20" (s:Mbit/s).')
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="A CSV of time_s,mbps, in place of a script."
)
@click.option("--begin-s", type=float, help="Where in the trace to begin.  [default: at its first row]")
@click.option("--seconds", type=float, help="How much of the trace to play, round and round.  [default: once]")
@click.option("--delay-ms", type=float, default=5.0, show_default=True, help="One way.")
@click.option("--jitter-ms", type=float, default=0.0, show_default=True, help="Mean of what each packet waits on top.")
@click.option(
    "--queue-kb",
    type=click.IntRange(min=2),
    default=QUEUE_BYTES // 1024,
    show_default=True,
    help="In each direction, in KiB.",
)
@click.option(
    "--background-mbps",
    type=(float, float),
    default=(0.0, 0.0),
    metavar="UP DOWN",
    help="Filler that competes in each direction; inf takes one connection's share.",
)
@click.option("--seed", type=int, default=0, help="Of the jitter.")
def main(
    upstream: str,
    listen: int,
    script: str | None,
    trace: Path | None,
    begin_s: float | None,
    seconds: float | None,
    delay_ms: float,
    jitter_ms: float,
    queue_kb: int,
    background_mbps: tuple[float, float],
    seed: int,
) -> None:
    """Emulate a link to HOST:PORT until SIGTERM or SIGINT, as a script or a trace says.

    Every connection shares the link. One JSON line tells of each change, one at the end what was carried.
    """
    try:
        steps = _script(script, trace, begin_s, seconds, delay_s=delay_ms / 1000, jitter_s=jitter_ms / 1000)
        relay = Relay(
            _parse_address(upstream),
            state=steps.state_at(0),
            listen=("127.0.0.1", listen),
            queue_bytes=queue_kb * 1024,
            seed=seed,
        )
        relay.set_background(mbps_up=background_mbps[0], mbps_down=background_mbps[1])
        run_precisely(_serve(relay, steps))
    except IsthmusError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _script(
    script: str | None,
    trace: Path | None,
    begin_s: float | None,
    seconds: float | None,
    *,
    delay_s: float,
    jitter_s: float,
) -> LinkScript:
    if script is not None and trace is None:
        if begin_s is not None or seconds is not None:
            raise SettingError("--begin-s and --seconds are of a trace", mend="give --trace, or leave them out")
        return LinkScript.parse(script, delay_s=delay_s, jitter_s=jitter_s)
    if trace is not None and script is None:
        recorded = LinkTrace.read(trace)
        return recorded.script(delay_s=delay_s, jitter_s=jitter_s, begin_s=begin_s or 0.0, seconds=seconds)
    raise SettingError("a link needs one account of what it does", mend="give either --script or --trace")


async def _serve(relay: Relay, script: LinkScript) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with relay, asyncio.TaskGroup() as tasks:
        _say("relay.listening", port=relay.address[1])
        playing = tasks.create_task(play(relay, script, on_step=_say_step), name="relay-script")
        await stop.wait()
        playing.cancel()
    _say(
        "relay.stopped",
        bytes_up=relay.bytes_up,
        bytes_down=relay.bytes_down,
        background_bytes_up=relay.background_up.delivered_bytes,
        background_bytes_down=relay.background_down.delivered_bytes,
        background_dropped_bytes_up=relay.background_up.dropped_bytes,
        background_dropped_bytes_down=relay.background_down.dropped_bytes,
    )


def _say_step(step: Step) -> None:
    state = step.state
    _say(
        "relay.state",
        at_s=step.at_s,
        unix_s=round(time.time(), 6),
        rate_mbps=state.rate_mbps,
        delay_s=state.delay_s,
        jitter_s=state.jitter_s,
    )


def _say(event: str, **fields: float | None) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def _parse_address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingError(f"{text!r} is no address of an upstream", mend="write it as HOST:PORT")
    return host, int(port)
