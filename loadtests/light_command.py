"""The light generator as a command: ``python -m loadtests.light_command --server ws://… --bundle … --steps 20:50``.

Says one line of JSON when the load begins and one with all figures when it is over. Owns the processes, one event loop
each, among which the agents are dealt out.
"""

import json
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import click

from device_agent.addresses import parse_server
from loadtests.clips import clip_path
from loadtests.light_clip import LightClip
from loadtests.light_frame import by_second, figures_of, percentiles
from loadtests.light_load import LightLoad, LoadStep, PartRun, Way
from loadtests.light_run import explained, run_part
from wire.bundle import Bundle
from wire.errors import IsthmusError, SettingError
from wire.records import to_plain

BEGIN_S: Final = 0.3
"""Until every process is ready to begin."""
SPAWN_S: Final = 3.0
"""The same where processes have to be started first."""


@click.command(context_settings={"show_default": True})
@click.option("--server", required=True, help="The cluster, as ws://HOST:PORT.")
@click.option("--bundle", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="An agent's cache with a profile.")
@click.option("--clip", type=click.Path(path_type=Path), default=None, help="[default: a clip that a wheel brings]")
@click.option("--steps", default="20:50", help="SECONDS:AGENTS, …")
@click.option("--warm-s", default=5.0, help="Seconds from the start that are not in the figures of the whole.")
@click.option("--way", type=click.Choice(get_args(Way)), default="agent",
              help="agent chooses its cut; camera and post send a JPEG, over our stream or to others.")  # fmt: skip
@click.option("--policy", default="auto", help="Of agents: as isthmus-agent has it.")
@click.option("--fps", default=10.0)
@click.option("--deadline-ms", default=300.0)
@click.option("--max-drop", default=5.0, help="Points of accuracy that a choice may lose.")
@click.option("--devices", default="raspberry-pi-3b+", help="Names, separated by commas; none is this machine.")
@click.option("--live/--no-live", default=True, help="Whether agents skip what a newer frame has overtaken.")
@click.option("--path", default="/", help="Where a POST goes.")
@click.option("--loops", default=1, help="Processes, with an event loop each.")
def main(
    *, server: str, bundle: Path, cache: Path, clip: Path | None, steps: str, warm_s: float, way: Way, policy: str,
    fps: float, deadline_ms: float, max_drop: float, devices: str, live: bool, path: str, loops: int,
) -> None:  # fmt: skip
    """Put a load of many light agents on a cluster, and count what becomes of every frame."""
    try:
        load = LightLoad(
            way=way, server=parse_server(server), bundle=bundle, clip=clip or clip_path("bikes"), cache=cache,
            steps=parse_load_steps(steps), fps=fps, deadline_s=deadline_ms / 1e3, policy=policy,
            most_drop=max_drop / 100, live=live, path=path, parts=loops,
            devices=tuple(None if name == "none" else name for name in devices.split(",")),
        )  # fmt: skip
        if not 0 <= warm_s < load.seconds:
            raise SettingError(
                f"a warm-up of {warm_s:g} s leaves nothing of {load.seconds:g} s", mend="make it shorter"
            )
        # Once, before the clock runs and before several processes would all do it.
        LightClip.kept(Bundle.open(bundle, "device"), load.clip, cache / "light-clip.msgpack")
        _say({"event": "load.begins"})
        began_s = time.monotonic() + (BEGIN_S if loops == 1 else SPAWN_S)
        parts = _run_parts(load, began_s)
    except IsthmusError as error:
        sys.stderr.write(explained(error) + "\n")
        sys.exit(error.exit_code)
    _say({"event": "load.over", **summary(load, parts, warm_s)})


def parse_load_steps(text: str) -> tuple[LoadStep, ...]:
    """Read SECONDS:AGENTS, …; raises SettingError."""
    steps = []
    for part in text.split(","):
        seconds, _, agents = part.partition(":")
        try:
            steps.append(LoadStep(float(seconds), int(agents)))
        except ValueError as error:
            raise SettingError(f"{part!r} is no step of a load", mend="write SECONDS:AGENTS, …") from error
    if any(step.seconds <= 0 or step.agents < 0 for step in steps):
        raise SettingError(f"{text!r} has a step that is no load", mend="give seconds above 0, and 0 agents or more")
    return tuple(steps)


def summary(load: LightLoad, parts: list[PartRun], warm_s: float) -> dict[str, Any]:
    """Give all figures of a load as JSON: of the whole without its warm-up, and of every second."""
    frames = [frame for part in parts for frame in part.frames]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    whole = figures_of(frames, from_s=warm_s, until_s=load.seconds, deadline_s=load.deadline_s)
    return {
        "figures": whole.as_plain(),
        "seconds": [of.as_plain() for of in by_second(frames, seconds=load.seconds, deadline_s=load.deadline_s)],
        "counts": dict(counts),
        "switches": sum(part.switches for part in parts),
        "generator_cpu": sum(part.cpu_s / part.wall_s for part in parts),
        "generator_lag_p95_s": max(percentiles(part.lags_s, (95,))[0] or 0.0 for part in parts),
        "loads": [[at_s, [to_plain(signal) for signal in signals]] for at_s, signals in parts[0].loads],
    }


def _run_parts(load: LightLoad, began_s: float) -> list[PartRun]:
    if load.parts == 1:
        return [run_part(load, began_s)]
    with ProcessPoolExecutor(load.parts, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(run_part, replace(load, part=part), began_s) for part in range(load.parts)]
        return [part.result() for part in running]


def _say(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
