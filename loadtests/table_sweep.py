"""Measures what every option costs on every frame of a clip: the real agent, with each option, on a fast link.

Owns which options are worth measuring, and what is made of an agent's lines. The cluster runs already, in a process of
its own, and the bundle is in the agent's cache.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device_agent.spatial_activity import spatial_activity
from loadtests.adapt_scenario import AdaptScenario, fixed_policy
from loadtests.agent_process import agent_process
from loadtests.child import Event
from loadtests.frame_tables import FrameTables
from loadtests.light_clip import clip_frames
from loadtests.link_script import LinkState
from loadtests.precise_loop import run_precisely
from loadtests.relay import Relay
from loadtests.relay_connection import Address
from wire.bitstream import MAX_LOOKS
from wire.errors import ClusterUnreachable
from wire.manifest import Option

FRAMES: Final = 50
"""Once round the clip that is the default, at 5 frames a second."""
AT_ONCE: Final = 3
"""What an option costs is told under the load that it will meet: so many options are measured at a time."""
SKIPPED: Final = 4
"""An agent's first frames load a graph and open a socket."""
FAST_MBPS: Final = 1000.0
"""Of the emulated link: what it takes beside its delay is what the emulator itself takes, in a comparison as here."""
OUTLIER: Final = 3.0
"""A stall counts as at most so many times the median of what is measured: of fifty frames one would be a fifth."""
_DEADLINE_MS: Final = "10000"
"""No frame shall be answered by the device because it is late."""

Progress = Callable[[str, int, int], None]
"""Told what is measured, how many options are done, and how many there are."""


def measure_tables(
    scenario: AdaptScenario, cluster: Address, *, folder: Path, on_progress: Progress, frames: int = FRAMES,
    at_once: int = AT_ONCE,
) -> FrameTables:  # fmt: skip
    """Run the agent with each option over the same frames, and take the means; ``folder`` takes the agents' logs.

    Raises:
        ClusterUnreachable: an agent ended, or the cluster did not answer all its frames.
    """
    options = taking_part(scenario.bundle.manifest.options, scenario.most_drop)
    events: list[list[Event]] = []
    for begin in range(0, len(options), at_once):
        together = options[begin : begin + at_once]
        on_progress(", ".join(map(option_name, together)), begin, len(options))
        said = run_precisely(_answers_together(scenario, cluster, together, frames, folder))
        events += [
            _checked(option, of_option[SKIPPED:], frames, folder)
            for option, of_option in zip(together, said, strict=True)
        ]
    on_progress("", len(options), len(options))
    pixels = clip_frames(scenario.bundle, scenario.clip, frames, fps=scenario.fps)
    activity = np.array([spatial_activity(frame) for frame in pixels])
    return tables_of(options, events, activity=activity, device=_device(events[0][0]), delay_s=scenario.delay_s)


def taking_part(options: Sequence[Option], most_drop: float) -> tuple[Option, ...]:
    """Leave out what no policy would choose, by the bundle's own figures.

    That is what loses more than ``most_drop``, and what another option of the same point beats in bytes, looks and drop
    at once. The frame itself and the whole network stay in any case: the policies that know nothing else need them.
    """
    ends = [option for option in options if option.device_graph is None or option.coder == "none"]
    within = [option for option in options if option.measured.top1_drop <= most_drop and option not in ends]
    kept = [option for option in within if not any(_beats(other, option) for other in within)]
    return tuple(option for option in options if option in ends or option in kept)


def tables_of(
    options: Sequence[Option],
    events: Sequence[Sequence[Event]],
    *,
    activity: NDArray[np.float64],
    device: str,
    delay_s: float,
) -> FrameTables:
    """Make the tables of an agent's lines: ``events[i]`` of the option i, one a frame, all of the same frames.

    ``activity`` is of the clip's frames from its first one on.
    ``delay_s`` is the link's, one way; it is no part of what an option costs.
    The frame of number n has the column n modulo their count, as it will when the clip goes round.
    """
    count, frames = len(options), len(events[0])
    alone = next(of_option for option, of_option in zip(options, events, strict=True) if option.coder == "none")
    own_s = mean_s([event["latency_ms"] / 1e3 - _parts_s(event, "device", "code") for event in alone])
    looks = np.zeros((count, frames), np.intp)
    sent_bytes = np.zeros((count, frames, MAX_LOOKS))
    device_s, refine_s, cluster_s = np.zeros(count), np.zeros(count), np.zeros(count)
    replies_bytes, overheads_s = [], []
    for row, (option, of_option) in enumerate(zip(options, events, strict=True)):
        work_s = np.array([_parts_s(event, "device", "code") for event in of_option])
        if option.coder == "none":
            device_s[row] = mean_s(work_s)
            continue
        for event in of_option:
            column = event["frame"] % frames
            looks[row, column] = event["looks"]
            sent_bytes[row, column, : event["looks"]] = event["look_bytes"]
        device_s[row], refine_s[row] = _split(work_s, np.array([event["looks"] for event in of_option]))
        cluster_s[row] = mean_s([_parts_s(event, "cluster") / event["looks"] for event in of_option])
        replies_bytes += [(event["moved_bytes"] - event["bytes"]) / event["looks"] for event in of_option]
        written_s = own_s - mean_s([_parts_s(event, "wait") for event in of_option])
        overheads_s += [(_beside_s(event) - written_s) / event["looks"] - 2 * delay_s for event in of_option]
    return FrameTables(
        options=tuple(options),
        device_s=device_s,
        refine_s=refine_s,
        cluster_s=cluster_s,
        looks=looks,
        sent_bytes=sent_bytes,
        activity=activity,
        reply_bytes=float(np.median(replies_bytes)),
        own_s=own_s,
        overhead_s=max(mean_s(overheads_s), 0.0),
        device=device,
    )


def mean_s(values_s: Sequence[float] | NDArray[np.float64]) -> float:
    """Give the mean of seconds, in which no stall counts as more than ``OUTLIER`` times the median.

    What is compared are mean latencies, and these are the sums of their parts' means; of medians they are not.
    """
    values = np.asarray(values_s, np.float64)
    return float(np.minimum(values, OUTLIER * max(float(np.median(values)), 0.0)).mean())


def option_name(option: Option) -> str:
    """Name an option as a policy does: POINT/RATE."""
    return f"{option.point}/{option.rate}"


def _beats(one: Option, other: Option) -> bool:
    ours, theirs = _figures(one), _figures(other)
    return one.point == other.point and ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def _figures(option: Option) -> tuple[float, float, float]:
    measured = option.measured
    return measured.bytes_mean, measured.looks_mean, measured.top1_drop


def _split(work_s: NDArray[np.float64], looks: NDArray[np.intp]) -> tuple[float, float]:
    """Tell the first look's seconds from a further one's, of frames that took one look and of frames that took more."""
    once, more = looks == 1, looks > 1
    if not once.any():
        # Then they cannot be told apart, and need not be: every frame takes both.
        return mean_s(work_s), 0.0
    first_s = mean_s(work_s[once])
    if not more.any():
        return first_s, 0.0
    return first_s, max(0.0, mean_s((work_s[more] - first_s) / (looks[more] - 1)))


def _beside_s(event: Event) -> float:
    """Give what a frame's exchanges take beside device and cluster: the link, the sockets and the front."""
    return event["latency_ms"] / 1e3 - _parts_s(event, "wait", "device", "code", "cluster")


def _parts_s(event: Event, *names: str) -> float:
    return sum(event["parts_ms"][name] for name in names) / 1e3


async def _answers_together(
    scenario: AdaptScenario, cluster: Address, options: Sequence[Option], frames: int, folder: Path
) -> list[list[Event]]:
    logs = [folder / f"sweep-{number}.log" for number in range(len(options))]
    async with asyncio.TaskGroup() as tasks:
        agents = [
            tasks.create_task(_answers(scenario, cluster, option, frames, log))
            for option, log in zip(options, logs, strict=True)
        ]
    return [agent.result() for agent in agents]


async def _answers(scenario: AdaptScenario, cluster: Address, option: Option, frames: int, log: Path) -> list[Event]:
    """Run an agent behind a link of its own, as in a comparison, until it has answered all frames or ends."""
    async with Relay(cluster, state=LinkState(FAST_MBPS, scenario.delay_s)) as relay:
        command = scenario.command(
            "--frames", str(SKIPPED + frames), "--deadline-ms", _DEADLINE_MS,
            name="sweep", address=relay.address, policy=fixed_policy(option_name(option)),
        )  # fmt: skip
        async with agent_process(command, log=log) as process:
            assert process.stdout is not None
            events = [json.loads(line) async for line in process.stdout]
    return [event for event in events if event["event"] == "frame"]


def _checked(option: Option, said: list[Event], frames: int, folder: Path) -> list[Event]:
    where = "device" if option.coder == "none" else "cluster"
    answered = sum(event["where"] == where for event in said)
    if answered < frames:
        raise ClusterUnreachable(
            f"of {frames} frames with {option_name(option)} the {where} answered {answered}",
            mend=f"look at the logs in {folder}",
        )
    return said


def _device(event: Event) -> str:
    if event["emulated_device"] is None:
        return "this machine"
    return f"{event['emulated_device']} (emulated, ×{event['emulated_slowdown']:.1f})"
