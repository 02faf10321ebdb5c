"""How the application of one partition point may grow and shrink, and what each of its replicas takes.

Owns the record and the checks between its fields. Imports no Ray.
"""

import os
from dataclasses import dataclass
from typing import Annotated, Final

from wire.errors import SettingError
from wire.records import Range

CORES_PER_REPLICA: Final = 4
"""A replica at its limit keeps about one core busy and Triton the others: on a smaller machine a second one of the same
point would take from the first what it brings."""
MOST_BY_DEFAULT: Final = 8

ReplicaCount = Annotated[int, Range(0, 1000)]
WaitSeconds = Annotated[float, Range(0.0, 86400.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointConfig:
    """The bounds and targets of one point's replicas."""

    min: ReplicaCount = 1
    """With 0, a point that nobody uses goes to sleep, and is woken when an agent asks for it."""
    max: ReplicaCount | None = None
    """None: one for each four cores of this machine, at most 8."""
    initial: ReplicaCount | None = None
    """None: ``min``."""
    queue_ms: Annotated[float, Range(0.1, 60000.0)] = 10.0
    """The queueing delay that is wanted at most; more replicas start when it stays longer."""
    busy: Annotated[float, Range(0.05, 0.95)] = 0.7
    """The share of time that a replica should be busy."""
    up_s: WaitSeconds = 1.0
    """How long a need has to last before replicas start."""
    down_s: WaitSeconds = 30.0
    """How long fewer replicas have to be enough before any stops."""
    idle_s: WaitSeconds = 60.0
    """After so long without a frame a point whose ``min`` is 0 goes to sleep."""
    gpus: Annotated[float, Range(0.0, 64.0)] = 0.0
    """GPUs that one replica takes, 0.25 for a quarter of one."""
    cpus: Annotated[float, Range(0.0, 1024.0)] = 0.0
    """CPU cores that Ray sets aside for one replica."""

    @property
    def most(self) -> int:
        """The greatest number of replicas."""
        if self.max is not None:
            return self.max
        return max(1, self.min, self.initial or 0, min(MOST_BY_DEFAULT, (os.cpu_count() or 1) // CORES_PER_REPLICA))

    @property
    def first(self) -> int:
        """The number of replicas to begin with."""
        return self.min if self.initial is None else self.initial

    @property
    def scales(self) -> bool:
        """Whether the number of replicas may change at all."""
        return self.min != self.most

    def check(self, where: str) -> None:
        """See that the fields agree with each other.

        Raises:
            SettingError: they do not; it names the fields.
        """
        if self.most < 1:
            raise SettingError(f"{where}.max is 0: the point could never be served", mend="leave it out of `only`")
        if self.min > self.most:
            raise SettingError(f"{where}.min is {self.min} and max is {self.most}", mend="make max at least min")
        if not self.min <= self.first <= self.most:
            raise SettingError(
                f"{where}.initial is {self.first}, not between min {self.min} and max {self.most}",
                mend="choose one between them, or leave initial out",
            )
