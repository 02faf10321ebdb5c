"""The command ``isthmus-agent``: options in, one settings object out; errors become two lines and a code."""

import logging
import signal
import sys
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import NoReturn

import click
import structlog

from device_agent.addresses import parse_server
from device_agent.emulation import Emulation
from device_agent.energy import energy_of
from device_agent.link_estimate import LinkKind
from device_agent.logs import log_to_stderr
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules, parse_goal
from device_agent.settings import AgentSettings, default_cache, default_device_id, find_token, new_session
from wire.errors import IsthmusError
from wire.ids import DeviceId

INTERRUPTED = 130


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--server", required=True, help="The cluster, as ws://HOST:PORT.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `isthmus token create` printed.  [default: $ISTHMUS_TOKEN]",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Trust these certificates (PEM) for wss://.  [default: the system's]",
)
@click.option(
    "--source",
    required=True,
    help="A video file, a camera index, an rtsp:// address, or a folder of pictures.",
)
@click.option("--fps", default=10.0, help="Frames a second; 0 for as fast as answers come.")
@click.option("--live", is_flag=True, help="Play a file as a camera would: skip what a newer frame has overtaken.")
@click.option(
    "--policy",
    default="auto",
    help="auto, fixed:POINT, fixed:POINT/RATE, device-only, cluster-only; as papers do: deepcod, jalad, neurosurgeon.",
)
@click.option(
    "--objective",
    default="latency",
    help="latency, energy, bytes, or weights: latency=1,energy=0.5,bytes=0.01 (per s, J, kB).",
)
@click.option("--max-drop", default=100.0, help="Points of accuracy that the choice may lose at most, beside no split.")
@click.option("--deadline-ms", default=300.0, help="From when a frame is due; the device answers alone in time for it.")
@click.option("--max-energy-mj", type=float, help="Of the device for one frame.")
@click.option("--max-cluster-ms", type=float, help="Of the cluster's time for one frame.")
@click.option("--max-joules-per-hour", type=float, help="A battery budget over time.")
@click.option("--max-mb-per-hour", type=float, help="What a metered link may carry, both ways.")
@click.option(
    "--calm/--no-calm",
    default=True,
    help="Keep an option that is nearly best, and move by chance when the cluster's load alone asks for it.",
)
@click.option(
    "--race/--no-race",
    default=True,
    help="With the policy auto: begin the device's own answer at once where the cluster's may well be later.",
)
@click.option(
    "--link-estimate",
    type=click.Choice(["kalman", "harmonic", "last"]),
    help="How the link is estimated.  [default: the policy's own, or kalman]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a frame.")
@click.option("--frames", type=int, help="End after so many frames; a shorter clip is played again.")
@click.option("--loop", is_flag=True, help="Play a clip or a folder again and again.")
@click.option("--device-id", default=default_device_id, help="The name that the cluster sees.")
@click.option("--cache", type=click.Path(path_type=Path), default=default_cache, help="Where bundles are kept.")
@click.option("--device-profile", help="Emulate a known device, such as raspberry-pi-4b; its power figures too.")
@click.option("--device-slowdown", default=1.0, help="Emulate a device that is slower by this factor.")
@click.option("--device-power-w", type=float, help="Of the processor at work, over idle.  [default: the profile's]")
@click.option(
    "--radio", type=click.Choice(["3g", "4g", "wifi", "none"]), default="none", help="The radio whose energy counts."
)
@click.option("--threads", default=1, help="Cores that a graph may take.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON lines to this file too.")
@click.option("--metrics-port", type=int, help="Serve metrics to Prometheus at this port; 0 for one that is free.")
@click.option("--metrics-host", default="127.0.0.1", help="Who asks for metrics there needs no token.")
@click.option("--metrics-push", metavar="URL", help="Push metrics to this Pushgateway.")
@click.option(
    "--trace", metavar="FILE|URL", help="Add spans to this file, or send them to this OpenTelemetry collector."
)
@click.option("--verbose", is_flag=True, help="Log more than warnings, to stderr.")
def command(
    *,
    server: str,
    token_file: Path | None,
    ca: Path | None,
    source: str,
    fps: float,
    live: bool,
    policy: str,
    objective: str,
    max_drop: float,
    deadline_ms: float,
    max_energy_mj: float | None,
    max_cluster_ms: float | None,
    max_joules_per_hour: float | None,
    max_mb_per_hour: float | None,
    calm: bool,
    race: bool,
    link_estimate: LinkKind | None,
    as_json: bool,
    frames: int | None,
    loop: bool,
    device_id: str,
    cache: Path,
    device_profile: str | None,
    device_slowdown: float,
    device_power_w: float | None,
    radio: str,
    threads: int,
    out: Path | None,
    metrics_port: int | None,
    metrics_host: str,
    metrics_push: str | None,
    trace: str | None,
    verbose: bool,
) -> None:
    """Answer the frames of a source, with a cluster as far as link and load allow, and alone otherwise."""
    session = new_session()
    log_to_stderr(logging.INFO if verbose else logging.WARNING, device=device_id, session=session)
    constraints = Constraints(
        most_drop=max_drop / 100,
        deadline_s=deadline_ms * 1e-3,
        most_energy_j=_most(max_energy_mj, 1e-3),
        most_cluster_s=_most(max_cluster_ms, 1e-3),
        joules_per_hour=_most(max_joules_per_hour, 1.0),
        bytes_per_hour=_most(max_mb_per_hour, 1e6),
    )
    rules = Rules(
        policy=parse_policy(policy), goal=parse_goal(objective), constraints=constraints, calm=calm, races=race
    )
    settings = AgentSettings(
        server=replace(parse_server(server), token=find_token(token_file), ca=ca, device=DeviceId(device_id)),
        source=source,
        cache=cache,
        device_id=DeviceId(device_id),
        rules=rules,
        link=link_estimate or rules.policy.link_estimate,
        energy=energy_of(device_profile, radio, device_power_w),
        emulation=Emulation(device_profile, device_slowdown),
        live=live,
        report="json" if as_json else "table" if sys.stdout.isatty() else "lines",
        out=out,
        fps=fps,
        frames=frames,
        loop=loop,
        threads=threads,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        metrics_push=metrics_push,
        trace=trace,
        session=session,
    )
    if settings.server.token is not None and not (settings.server.secure or settings.server.is_loopback):
        structlog.get_logger().warning("token.in_the_clear", server=settings.server.http_base, mend="use wss://")
    # Here, so that --help need not wait for numpy.
    from device_agent.memory import keep_one_arena
    from device_agent.session import run_session

    keep_one_arena()
    run_session(settings)


def _most(limit: float | None, unit: float) -> float:
    return inf if limit is None else limit * unit


def main() -> NoReturn:
    """Run the command; ends the process with the exit code of the error, if there is one."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command.main(prog_name="isthmus-agent", standalone_mode=False)
    except IsthmusError as error:
        click.echo(error.message, err=True)
        click.echo(f"  mend: {error.mend or 'see the log with --verbose'}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    sys.exit(0)


if __name__ == "__main__":
    main()
