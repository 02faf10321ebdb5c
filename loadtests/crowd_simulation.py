"""A crowd of agents on one cluster whose other load goes up and down in steps, to see whether they settle or swing.

Owns the run and its samples; what they come to is ``loadtests.crowd_figures``'.
"""

import itertools
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Event

from loadtests.frame_tables import FrameTables
from loadtests.link_script import LinkScript
from loadtests.virtual_agent import VirtualAgent
from loadtests.virtual_cluster import MakeMeter, VirtualCluster
from loadtests.virtual_device import VirtualDevice
from loadtests.virtual_link import VirtualLink
from loadtests.virtual_load import Arrivals, BackgroundLoad
from wire.errors import SettingError
from wire.ids import DeviceId, PointName

SAMPLE_S: Final = 1.0
SPREAD_S: Final = 2.0
"""Over how long the agents' starts are spread, so that neither frames nor pings nor polls come all at once."""
_GOLDEN: Final = 0.618
"""Multiples of it, less their whole part, are spread evenly however many they are: the phases of frames and clips."""


@dataclass(frozen=True, slots=True)
class LoadStep:
    """For ``seconds``, others ask for such a share of what the servers can answer, were it one frame after the other.

    Servers that batch answer more than all of it. As a share, a step asks the same of slow servers and of fast ones.
    """

    seconds: float
    background_share: float

    def frames_s(self, servers: int, exchange_s: float) -> float:
        """Give it in frames a second that take ``exchange_s`` each."""
        return self.background_share * servers / exchange_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """So many agents, each as ``device`` but for its name and start, on so many servers.

    Raises:
        SettingError: there is nobody, or no time.
    """

    agents: int
    servers: int
    steps: tuple[LoadStep, ...]
    script: LinkScript
    """Of every agent's own link."""
    device: VirtualDevice
    """Its ``frames``, ``first_frame`` and ``begins_s`` are the crowd's to say: no two cameras see the same."""
    shared: bool = True
    """Whether the points share the servers, or have so many each."""
    background_row: int | None = None
    """The option by which the others ask; None is the first that sends."""
    arrivals: Arrivals = "poisson"
    """Of the others. Where these come by chance the crowd makes room for every burst: that is no swing of its own."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.agents < 1 or not self.steps or any(step.seconds < 2 * SAMPLE_S for step in self.steps):
            raise SettingError(
                f"a crowd of {self.agents} agents and {len(self.steps)} steps",
                mend=f"give at least one agent, and steps of {2 * SAMPLE_S:g} s or more",
            )

    @property
    def seconds(self) -> float:
        """How long all the steps take."""
        return sum(step.seconds for step in self.steps)


@dataclass(frozen=True, slots=True, eq=False)
class CrowdSamples:
    """What was seen in each ``SAMPLE_S``; every array's first axis is time."""

    points: tuple[PointName, ...]
    times_s: NDArray[np.float64]
    """(samples,) the end of each."""
    offered: NDArray[np.float64]
    """(samples, points) seconds of service that the crowd asked for, a second."""
    background: NDArray[np.float64]
    """(samples, points) the same of the others."""
    utilisation: NDArray[np.float64]
    """(samples,) the share of the servers' time that they worked."""
    waiting: NDArray[np.float64]
    """(samples,) frames that waited for a server at the end."""
    latency_s: NDArray[np.float64]
    """(samples, agents) mean of the frames that were answered; NaN where none was."""
    on_device: NDArray[np.float64]
    """(samples,) the share of these that their devices answered; NaN where there were none."""


def simulate_crowd(tables: FrameTables, crowd: Crowd, make_meter: MakeMeter) -> CrowdSamples:
    """Run the crowd through all its steps, in virtual time; the same arguments give the same samples."""
    env = simpy.Environment()
    servers = VirtualCluster(env, tables, crowd.servers, make_meter=make_meter, shared=crowd.shared)
    agents: list[VirtualAgent] = []
    for number in range(crowd.agents):
        env.process(_begin(env, tables, crowd, servers, number, agents))
    row = crowd.background_row
    if row is None:
        row = next(row for row, option in enumerate(tables.options) if option.coder != "none")
    budget_s = crowd.device.rules.constraints.deadline_s
    others = BackgroundLoad(env, servers, [row], budget_s=budget_s, arrivals=crowd.arrivals, seed=crowd.seed)
    env.process(_step_up(env, crowd, others, float(tables.cluster_s[row])))
    sampler = _Sampler(env, crowd, servers, others, agents)
    env.run(until=env.process(sampler.run()))
    return sampler.samples()


def _begin(
    env: simpy.Environment,
    tables: FrameTables,
    crowd: Crowd,
    servers: VirtualCluster,
    number: int,
    agents: list[VirtualAgent],
) -> Generator[Event, Any, None]:
    begins_s = SPREAD_S * number / crowd.agents + number * _GOLDEN % 1 / crowd.device.fps
    yield env.timeout(begins_s)
    device = replace(
        crowd.device,
        begins_s=begins_s,
        frames=int((crowd.seconds - begins_s) * crowd.device.fps),
        first_frame=int(number * _GOLDEN % 1 * tables.frames),
        device_id=DeviceId(f"{crowd.device.device_id}-{crowd.seed}-{number}"),
    )
    carrier = VirtualLink(crowd.script, seed=crowd.seed * crowd.agents + number)
    agents.append(VirtualAgent(env, tables, device, carrier, servers))


def _step_up(
    env: simpy.Environment, crowd: Crowd, others: BackgroundLoad, exchange_s: float
) -> Generator[Event, Any, None]:
    for step in crowd.steps:
        others.set_rate(step.frames_s(crowd.servers, exchange_s))
        yield env.timeout(step.seconds)


class _Sampler:
    """Looks at the crowd once every ``SAMPLE_S``."""

    def __init__(
        self,
        env: simpy.Environment,
        crowd: Crowd,
        servers: VirtualCluster,
        others: BackgroundLoad,
        agents: list[VirtualAgent],
    ) -> None:
        self._env, self._crowd, self._servers, self._others = env, crowd, servers, others
        self._agents = agents
        self._asked: list[NDArray[np.float64]] = []
        self._others_asked: list[NDArray[np.float64]] = []
        self._busy_s: list[float] = []
        self._waiting: list[int] = []
        self._answers: list[list[int]] = []

    def run(self) -> Generator[Event, Any, None]:
        """Take a sample at the beginning and after every ``SAMPLE_S``."""
        for _ in range(round(self._crowd.seconds / SAMPLE_S) + 1):
            self._asked.append(np.array(self._servers.asked_s))
            self._others_asked.append(np.array(self._others.asked_s))
            self._busy_s.append(self._servers.busy_s)
            self._waiting.append(self._servers.waiting)
            self._answers.append([len(agent.answers) for agent in self._agents])
            yield self._env.timeout(SAMPLE_S)

    def samples(self) -> CrowdSamples:
        """Give what was seen between the samples."""
        background = np.diff(np.array(self._others_asked), axis=0) / SAMPLE_S
        servers_in_all = self._crowd.servers * (1 if self._crowd.shared else len(self._servers.points))
        latency_s, on_device = self._latencies()
        return CrowdSamples(
            points=self._servers.points,
            times_s=np.arange(1, len(self._busy_s)) * SAMPLE_S,
            offered=np.diff(np.array(self._asked), axis=0) / SAMPLE_S - background,
            background=background,
            utilisation=np.diff(np.array(self._busy_s)) / (SAMPLE_S * servers_in_all),
            waiting=np.array(self._waiting[1:], float),
            latency_s=latency_s,
            on_device=on_device,
        )

    def _latencies(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        counts = np.zeros((len(self._answers), len(self._agents)), int)
        for row, answered in enumerate(self._answers):
            counts[row, : len(answered)] = answered
        latency_s = np.full((len(counts) - 1, len(self._agents)), np.nan)
        on_device = np.full(len(counts) - 1, np.nan)
        for sample, (begin, end) in enumerate(itertools.pairwise(counts)):
            fresh = [agent.answers[a:b] for agent, a, b in zip(self._agents, begin, end, strict=True)]
            for number, answers in enumerate(fresh):
                if answers:
                    latency_s[sample, number] = np.mean([answer.latency_s for answer in answers])
            alone = [answer.where == "device" for answers in fresh for answer in answers]
            if alone:
                on_device[sample] = np.mean(alone)
        return latency_s, on_device
