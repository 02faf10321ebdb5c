"""Who is compared under load, and how one load is played: the generator as a process, beside a system that runs.

Owns the entrants, the command of the generator, and what a system took of the processors meanwhile.
"""

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from loadtests.child import Child
from loadtests.light_command import BEGIN_S
from loadtests.light_frame import LoadFigures
from loadtests.light_load import LoadStep, Way
from loadtests.light_run import DRAIN_S
from loadtests.load_cpu import ProcessTree
from loadtests.relay_connection import Address
from wire.ids import OptionId
from wire.manifest import Option

START_S: Final = 90.0
"""A generator that prepares its bitstreams first takes half a minute."""
HEAD_SHARE: Final = 0.7
"""Of the time between two frames that a head may take: the rest is for the exchange, since frames go one by one."""

EntrantName = Literal["tutorial", "jpeg", "device", "cut", "ours"]
Devices = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """One way to have frames answered."""

    name: EntrantName
    title: str
    way: Way
    policy: str = "auto"


def entrants(cut: str) -> dict[EntrantName, Entrant]:
    """Give all of them; ``cut`` is POINT/RATE of the fixed one."""
    every = (
        Entrant(name="tutorial", title="(b) plain Ray Serve, JPEG by POST", way="post"),
        Entrant(name="jpeg", title="(a) cluster only, JPEG on our path", way="camera"),
        Entrant(name="device", title="(c) device only", way="agent", policy="device-only"),
        Entrant(name="cut", title=f"ours, cut fixed at {cut}", way="agent", policy=f"fixed:{cut}"),
        Entrant(name="ours", title="ours, choosing", way="agent"),
    )
    return {entrant.name: entrant for entrant in every}


def deepest_cut(
    options: Iterable[Option], device_s: Mapping[OptionId, float], *, fps: float, most_drop: float
) -> Option:
    """Give the option that leaves the cluster least to compute, of those whose head keeps up on the device.

    Of equal ones that with the fewest bytes. Options that look again are left out, so that a frame is one message.
    Where no head keeps up, all may be taken, and the lightest for the device is.
    """
    fit = [
        option
        for option in options
        if option.coder != "none" and not option.refinements and option.measured.top1_drop <= most_drop
    ]
    swift = [option for option in fit if device_s[option.id] <= HEAD_SHARE / fps]
    if not swift:
        return min(fit, key=lambda option: device_s[option.id])
    return min(swift, key=lambda option: (option.macs.decoder + option.macs.tail, option.measured.bytes_mean))


@dataclass(frozen=True, slots=True)
class LoadRun:
    """What one load came to; ``seconds`` are its single seconds from the first on, the warm-up too."""

    agents: int
    figures: LoadFigures
    seconds: tuple[LoadFigures, ...]
    generator_cpu: float
    """Cores that the generator took."""
    generator_lag_p95_s: float
    """How late it was with what it had to do: so much of a latency may be the generator's own."""
    cluster_cpu: float
    """Cores that the system took, in the same window as ``figures``."""
    counts: dict[str, int]
    switches: int
    replicas: tuple[tuple[float, dict[str, int]], ...]
    """Seconds from the start, and the replicas of each point then."""

    @property
    def cluster_cpu_s_a_frame(self) -> float:
        """Processor seconds of the system for each frame that it answered."""
        return self.cluster_cpu * self.figures.seconds / self.figures.by_cluster if self.figures.by_cluster else 0.0

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "agents": self.agents,
            "figures": self.figures.as_plain(),
            "generator_cpu": self.generator_cpu,
            "generator_lag_p95_ms": self.generator_lag_p95_s * 1e3,
            "cluster_cpu": self.cluster_cpu,
            "cluster_cpu_ms_a_frame": self.cluster_cpu_s_a_frame * 1e3,
            "counts": self.counts,
            "switches": self.switches,
            "replicas": [[at_s, points] for at_s, points in self.replicas],
            "by_second": [of.as_plain() for of in self.seconds],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadScene:
    """What all loads of a comparison have in common."""

    bundle: Path
    clip: Path
    cache: Path
    """Holds this machine's profile."""
    out: Path
    """Takes the generator's log."""
    devices: Devices
    fps: float = 10.0
    deadline_s: float = 0.3
    most_drop: float = 0.05

    def command(self, entrant: Entrant, address: Address, steps: Iterable[LoadStep], warm_s: float) -> list[str]:
        """Give the command of the generator."""
        return [
            sys.executable, "-m", "loadtests.light_command", "--server", f"ws://{address[0]}:{address[1]}",
            "--bundle", str(self.bundle), "--cache", str(self.cache), "--clip", str(self.clip),
            "--steps", ",".join(f"{step.seconds:g}:{step.agents}" for step in steps), "--warm-s", f"{warm_s:g}",
            "--way", entrant.way, "--policy", entrant.policy, "--fps", f"{self.fps:g}",
            "--deadline-ms", f"{self.deadline_s * 1e3:g}", "--max-drop", f"{self.most_drop * 100:g}",
            "--devices", ",".join(self.devices),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Running:
    """A system that runs: where it listens, and the process that holds all of it; None where there is none."""

    address: Address
    pid: int | None


def play(scene: LoadScene, entrant: Entrant, running: Running, steps: tuple[LoadStep, ...], *,
         warm_s: float, address: Address | None = None) -> LoadRun:  # fmt: skip
    """Play one load; ``address`` is that of a link before the system, where there is one.

    Raises:
        ClusterUnreachable: the generator ended early or said nothing.
    """
    seconds = sum(step.seconds for step in steps)
    tree = ProcessTree(running.pid) if running.pid is not None else None
    command = scene.command(entrant, address or running.address, steps, warm_s)
    with Child(command, log=scene.out / "generator.log") as generator:
        generator.wait_for("load.begins", timeout_s=START_S)
        time.sleep(BEGIN_S + warm_s)
        before_s, at_s = tree.cpu_s() if tree else 0.0, time.monotonic()
        time.sleep(seconds - warm_s)
        after_s, took_s = tree.cpu_s() if tree else 0.0, time.monotonic() - at_s
        over = generator.wait_for("load.over", timeout_s=DRAIN_S + START_S)
    return LoadRun(
        agents=max(step.agents for step in steps),
        figures=LoadFigures.from_plain(over["figures"]),
        seconds=tuple(LoadFigures.from_plain(second) for second in over["seconds"]),
        generator_cpu=over["generator_cpu"],
        generator_lag_p95_s=over["generator_lag_p95_s"],
        cluster_cpu=(after_s - before_s) / took_s,
        counts=over["counts"],
        switches=over["switches"],
        replicas=tuple((at_s, {load["point"]: load["replicas"] for load in loads}) for at_s, loads in over["loads"]),
    )
