"""The same comparison on measured tables in virtual time: the real planners and estimates, no process, no clock.

Owns how a scenario becomes a virtual device, and the runs of all policies over the traces. The oracle is of here alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from loadtests.adapt_report import BEST_FIXED, CLUSTER_ONLY, DEVICE_ONLY, ORACLE, POLICIES
from loadtests.adapt_scenario import WARM_S, AdaptScenario, RecordedLink, agent_policy, warmed_script
from loadtests.frame_row import FrameRow, PolicyRun
from loadtests.frame_tables import FrameTables
from loadtests.oracle import best_fixed, run_oracle
from loadtests.table_sweep import option_name
from loadtests.virtual_agent import VirtualDevice, VirtualFrame
from loadtests.virtual_run import run_policy
from wire.ids import DeviceId

Progress = Callable[[str, int, int], None]
"""Told the trace that begins, how many are done, and how many there are."""


def virtual_traces(
    tables: FrameTables,
    scenario: AdaptScenario,
    links: Sequence[RecordedLink],
    window_s: float | None,
    *,
    on_trace: Progress,
) -> tuple[dict[str, dict[str, PolicyRun]], dict[str, str]]:
    """Run every policy and the oracle over the window of each trace; None is all of it.

    Gives the runs, and the best fixed option of each trace as POINT/RATE.
    """
    runs: dict[str, dict[str, PolicyRun]] = {}
    fixed: dict[str, str] = {}
    for done, link in enumerate(links):
        on_trace(link.name, done, len(links))
        row, runs[link.name] = _run_trace(tables, scenario, link, window_s)
        fixed[link.name] = option_name(tables.options[row])
    on_trace("", len(links), len(links))
    return runs, fixed


def virtual_device(scenario: AdaptScenario, spelled: str, *, radio: str, seconds: float, name: str) -> VirtualDevice:
    """Make the device of a scenario, with a policy as the agent spells it, that answers frames for so many seconds."""
    rules = scenario.rules(spelled)
    return VirtualDevice(
        rules=rules,
        fps=scenario.fps,
        frames=math.floor(seconds * scenario.fps),
        link=rules.policy.link_estimate,
        energy=scenario.energy(radio),
        device_id=DeviceId(name),
    )


def rows_of(
    tables: FrameTables, frames: Iterable[VirtualFrame], *, began_s: float, first: int, deadline_s: float
) -> tuple[FrameRow, ...]:
    """Give the frames from the number ``first`` on, which is due at ``began_s``."""
    names = [option_name(option) for option in tables.options]
    local = local_row(tables)
    return tuple(
        FrameRow(
            number=frame.frame - first,
            due_s=frame.due_s - began_s,
            planned=names[frame.row],
            answered=names[frame.row if frame.where == "cluster" else local],
            where=frame.where,
            latency_s=frame.latency_s,
            in_time=frame.latency_s <= deadline_s,
            moved_bytes=frame.moved_bytes,
            energy_j=frame.energy_j,
        )
        for frame in frames
        if frame.frame >= first
    )


def local_row(tables: FrameTables) -> int:
    """Give the row of the option with which the device answers alone."""
    return next(row for row, option in enumerate(tables.options) if option.coder == "none")


def _run_trace(
    tables: FrameTables, scenario: AdaptScenario, link: RecordedLink, window_s: float | None
) -> tuple[int, dict[str, PolicyRun]]:
    script = warmed_script(link, window_s, delay_s=scenario.delay_s)
    seconds = WARM_S + link.seconds(window_s)

    def device(policy: str, spelled: str) -> VirtualDevice:
        return virtual_device(scenario, spelled, radio=link.radio, seconds=seconds, name=policy)

    def of(frames: Iterable[VirtualFrame]) -> PolicyRun:
        first = round(WARM_S * scenario.fps)
        expected = math.floor(seconds * scenario.fps) - first
        rows = rows_of(tables, frames, began_s=WARM_S, first=first, deadline_s=scenario.deadline_s)
        return PolicyRun(rows, expected)

    played = {
        policy: run_policy(tables, script, device(policy, agent_policy(policy)))
        for policy in POLICIES
        if policy != BEST_FIXED
    }
    row, kept = best_fixed(tables, script, device(BEST_FIXED, agent_policy(CLUSTER_ONLY)))
    if _mean_s(played[DEVICE_ONLY]) < _mean_s(kept):
        row, kept = local_row(tables), played[DEVICE_ONLY]
    played |= {BEST_FIXED: kept, ORACLE: run_oracle(tables, script, device(ORACLE, "auto"))}
    return row, {policy: of(played[policy]) for policy in (*POLICIES, ORACLE)}


def _mean_s(frames: Sequence[VirtualFrame]) -> float:
    return fmean(frame.latency_s for frame in frames)
