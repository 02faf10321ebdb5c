"""The scenario that policies are compared in: the device, its clip, its deadline, and the recorded links.

Owns what all runs have in common, and how an agent is started for it.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_agent.energy import EnergyModel, energy_of
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules
from loadtests.adapt_report import BEST_FIXED, CLUSTER_ONLY, DEVICE_ONLY, OURS, PAPERS, POLICIES
from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.link_trace import LinkTrace
from loadtests.relay_connection import Address
from wire.bundle import Bundle
from wire.errors import SettingError

WARM_S: Final = 4.0
"""An agent's first frames load graphs and open sockets; they are answered and not counted."""
LEAST_WARM_MBPS: Final = 2.0
"""The link before and after the window has the trace's first rate, but at least this one."""
_RADIOS: Final = {"hsdpa": "3g", "lte": "4g", "wifi": "wifi"}
PATIENT_S: Final = 10.0
"""So long a rival waits for the cluster on a link that is up: as published none of them answers alone meanwhile."""
_SENT_AS: Final = {OURS: "auto", CLUSTER_ONLY: "cluster-only", DEVICE_ONLY: "device-only"} | {p: p for p in PAPERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLink:
    """One trace by its name, and the radio that it was recorded with."""

    name: str
    trace: LinkTrace
    radio: str

    def seconds(self, wanted: float | None) -> float:
        """Say how long the window is that begins with the trace; None is all of it."""
        return self.trace.length_s if wanted is None else min(wanted, self.trace.length_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptScenario:
    """What does not differ between the policies; ``device`` None is this machine as it is.

    Ours answers alone in time for the deadline. The rivals do so with ``rivals_fall_back``, and else only where the
    link is down; they are judged by the same deadline.
    """

    bundle: Bundle
    clip: Path
    cache: Path
    device: str | None = "raspberry-pi-3b+"
    fps: float = 5.0
    deadline_s: float = 0.2
    delay_s: float = 0.010
    """One way."""
    most_drop: float = 0.05
    rivals_fall_back: bool = False
    at_once: int = len(POLICIES)
    """So many policies are played at a time."""

    @property
    def turns(self) -> int:
        """How often a trace is played, so that every policy has had it."""
        return math.ceil(len(POLICIES) / self.at_once)

    @property
    def asking_at_once(self) -> int:
        """How many of the agents that are played at a time ask the cluster: of seven some three."""
        return math.ceil(self.at_once * 3 / 7)

    def heeded_s(self, policy: str) -> float:
        """Give the deadline that an agent of a policy, as the agent spells it, is told to keep."""
        falls_back = self.rivals_fall_back or policy in (_SENT_AS[OURS], _SENT_AS[DEVICE_ONLY])
        return self.deadline_s if falls_back else PATIENT_S

    def rules(self, policy: str) -> Rules:
        """Give what the agent's planner is told, for a policy as the agent spells it."""
        constraints = Constraints(most_drop=self.most_drop, deadline_s=self.heeded_s(policy))
        return Rules(policy=parse_policy(policy), constraints=constraints)

    def energy(self, radio: str) -> EnergyModel:
        """Give the model of the device's energy with a radio."""
        return energy_of(self.device, radio, None)

    def command(self, *more: str, name: str, address: Address, policy: str, radio: str = "none") -> list[str]:
        """Give the command of an agent; what comes in ``more`` stands last, and so takes precedence."""
        emulated = ("--device-profile", self.device) if self.device is not None else ()
        return [
            sys.executable, "-m", "device_agent.main", "--server", f"ws://{address[0]}:{address[1]}",
            "--source", str(self.clip), "--loop", "--fps", f"{self.fps:g}", "--json", "--device-id", name,
            "--policy", policy, "--max-drop", f"{self.most_drop * 100:g}",
            "--deadline-ms", f"{self.heeded_s(policy) * 1e3:g}", "--cache", str(self.cache), "--radio", radio,
            *emulated, *more,
        ]  # fmt: skip


def recorded_links(folder: Path, pattern: str = "*.csv") -> list[RecordedLink]:
    """Read the traces of a folder, in the order of their names.

    Raises:
        SettingError: there is none, or one cannot be read.
    """
    files = sorted(folder.glob(pattern)) if folder.is_dir() else []
    if not files:
        raise SettingError(
            f"there is no trace {pattern!r} in {folder}",
            mend="give --data FOLDER with CSV files of time_s,mbps, and --traces to choose among them",
        )
    return [RecordedLink(name=file.stem, trace=LinkTrace.read(file), radio=radio_of(file.stem)) for file in files]


def warm_state(link: RecordedLink, delay_s: float) -> LinkState:
    """Give what the link is before and after the window: the trace's first rate, or what lets an agent begin."""
    return LinkState(max(link.trace.rates_mbps[0], LEAST_WARM_MBPS), delay_s)


def window_script(link: RecordedLink, window_s: float | None, *, delay_s: float) -> LinkScript:
    """Give the window, from 0 s on, and what the link is after it: a frame that is due in it shall be answered."""
    seconds = link.seconds(window_s)
    window = link.trace.script(delay_s=delay_s, seconds=seconds)
    return LinkScript((*window.steps, Step(seconds, warm_state(link, delay_s))))


def warmed_script(link: RecordedLink, window_s: float | None, *, delay_s: float) -> LinkScript:
    """Give the same behind ``WARM_S`` of the link before the window, as an agent sees it from its first frame on."""
    window = window_script(link, window_s, delay_s=delay_s)
    shifted = (Step(step.at_s + WARM_S, step.state) for step in window.steps)
    return LinkScript((Step(0.0, warm_state(link, delay_s)), *shifted))


def radio_of(name: str) -> str:
    """Tell by the beginning of a trace's name which radio it was recorded with; 4g where nothing says."""
    return next((radio for start, radio in _RADIOS.items() if name.startswith(start)), "4g")


def agent_policy(policy: str, best_fixed: str | None = None) -> str:
    """Spell a policy of the comparison as the agent does; ``best_fixed`` is POINT/RATE."""
    if policy != BEST_FIXED:
        return _SENT_AS[policy]
    assert best_fixed is not None, "it is found before anything is run with it"
    return fixed_policy(best_fixed)


def fixed_policy(option: str) -> str:
    """Spell the policy that always takes one option, POINT/RATE; that of the whole network has a name of its own."""
    return "device-only" if option.startswith("output/") else f"fixed:{option}"
