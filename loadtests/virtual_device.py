"""A device in virtual time: what its agent is told, and one worker thread that takes as long as was measured."""

import random
from bisect import bisect_right
from dataclasses import dataclass, field
from math import exp
from typing import Final

import simpy
from simpy.events import Timeout

from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkKind
from device_agent.rules import Rules
from wire.ids import DeviceId

FIRST_DEVICE: Final = DeviceId("virtual-0")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualDevice:
    """What one agent is told, and how its device behaves."""

    rules: Rules
    fps: float
    frames: int
    """How many it answers; the clip of the tables goes round and round."""
    first_frame: int = 0
    """Of the clip."""
    link: LinkKind = "kalman"
    energy: EnergyModel = field(default_factory=EnergyModel)
    begins_s: float = 0.0
    """When the first frame is due."""
    device_id: DeviceId = FIRST_DEVICE
    """Its chances are drawn by this, as a real agent's are."""
    noise: float = 0.0
    """Standard deviation of the logarithm of each run's seconds, by those of the tables."""
    throttling: tuple[tuple[float, float], ...] = ()
    """From when on, in seconds and in order, every run takes how many times as long."""


class Worker:
    """The one thread that runs heads, coders and the whole network; a job waits for those before it."""

    def __init__(self, env: simpy.Environment, device: VirtualDevice, *, seed: int) -> None:
        self._env, self._device = env, device
        self._random = random.Random(seed)
        self._begun_s = self._free_s = env.now

    def takes_s(self, seconds: float) -> float:
        """Give what a job takes that is begun now and was measured to take ``seconds``."""
        device = self._device
        if device.noise:
            seconds *= exp(self._random.gauss(0.0, device.noise))
        at = bisect_right(device.throttling, self._env.now, key=lambda step: step[0])
        return seconds * device.throttling[at - 1][1] if at else seconds

    def work(self, seconds: float) -> Timeout:
        """Have a job done that takes ``seconds``; gives its end."""
        now_s = self._env.now
        self._begun_s = max(self._free_s, now_s)
        self._free_s = self._begun_s + seconds
        return self._env.timeout(self._free_s - now_s)

    def stop(self) -> float:
        """End the last job now, since nobody waits for it any more; gives the seconds that it ran."""
        self._free_s = min(self._free_s, max(self._env.now, self._begun_s))
        return self._free_s - self._begun_s
