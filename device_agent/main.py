"""The command ``isthmus-agent``: options in, one settings object out; errors become two lines and a code."""

import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click
import structlog

from device_agent.addresses import parse_server
from device_agent.planner import parse_policy
from device_agent.settings import AgentSettings, default_cache, default_device_id
from wire.errors import IsthmusError
from wire.ids import DeviceId

INTERRUPTED = 130


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--server", required=True, help="The cluster, as ws://HOST:PORT.")
@click.option(
    "--source",
    required=True,
    help="A video file, a camera index, an rtsp:// address, or a folder of pictures.",
)
@click.option("--fps", default=10.0, help="Frames a second; 0 for as fast as answers come.")
@click.option("--policy", default="auto", help="auto, fixed:POINT, fixed:POINT/RATE, device-only or cluster-only.")
@click.option("--max-drop", default=100.0, help="Points of accuracy that the choice may lose at most, beside no split.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a frame.")
@click.option("--frames", type=int, help="End after so many frames; a shorter clip is played again.")
@click.option("--loop", is_flag=True, help="Play a clip or a folder again and again.")
@click.option("--deadline-ms", default=300.0, help="How long to wait for the cluster with one frame.")
@click.option("--device-id", default=default_device_id, help="The name that the cluster sees.")
@click.option("--cache", type=click.Path(path_type=Path), default=default_cache, help="Where bundles are kept.")
@click.option("--device-slowdown", default=1.0, help="Emulate a device that is slower by this factor.")
@click.option("--threads", default=1, help="Cores that a graph may take.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON lines to this file too.")
@click.option("--verbose", is_flag=True, help="Log more than warnings, to stderr.")
def command(
    *,
    server: str,
    source: str,
    fps: float,
    policy: str,
    max_drop: float,
    as_json: bool,
    frames: int | None,
    loop: bool,
    deadline_ms: float,
    device_id: str,
    cache: Path,
    device_slowdown: float,
    threads: int,
    out: Path | None,
    verbose: bool,
) -> None:
    """Answer the frames of a source, with a cluster as far as link and load allow, and alone otherwise."""
    _log_to_stderr(logging.INFO if verbose else logging.WARNING)
    settings = AgentSettings(
        server=parse_server(server),
        source=source,
        cache=cache,
        device_id=DeviceId(device_id),
        policy=replace(parse_policy(policy), most_drop=max_drop / 100),
        report="json" if as_json else "table" if sys.stdout.isatty() else "lines",
        out=out,
        fps=fps,
        frames=frames,
        loop=loop,
        deadline_s=deadline_ms / 1e3,
        slowdown=device_slowdown,
        threads=threads,
    )
    # Here, so that --help need not wait for numpy.
    from device_agent.memory import keep_one_arena
    from device_agent.session import run_session

    keep_one_arena()
    run_session(settings)


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


def _log_to_stderr(level: int) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


if __name__ == "__main__":
    main()
