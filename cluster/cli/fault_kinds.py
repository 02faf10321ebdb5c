"""The faults that kill: a process of the cluster, a node, an agent, the link; one by one, or at random.

What is killed is the cluster's own, found by its kind; nothing else is touched.
"""

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field
from typing import Final

from cluster.cli.fault_cluster import FaultCluster, SecondNode
from cluster.cli.fault_processes import Kind, Lookout
from loadtests.fault_fleet import DOWN, LINK, Fleet
from loadtests.fault_run import Fault, Mark
from wire.errors import ClusterUnreachable

LIMIT_S: Final = 90.0
REPLICA_LOST: Final = "marking it unhealthy"
"""What the log of Serve's controller says of a replica that died, and of one that was not well three times."""
MOVES: Final = 8
"""So often a replica is killed, at most, until Serve starts one on the second node."""
MOVE_S: Final = 3.0
"""After which a replica that was killed is missed."""
MOVE_TIMEOUT_S: Final = 90.0


@dataclass(slots=True)
class Unaided:
    """What is common to faults that need nothing before them, and that the cluster mends by itself."""

    async def prepare(self) -> None:
        """Need nothing."""

    async def mend(self) -> None:
        """Leave it to the cluster."""

    def detected_s(self) -> float | None:
        """Have nobody who needs to notice."""
        return None


@dataclass(slots=True)
class Watched(Unaided):
    """The same where somebody is to notice, for whom ``strike`` sets a lookout."""

    _lookout: Lookout | None = field(default=None, init=False)

    def detected_s(self) -> float | None:
        """Say when it was noticed."""
        assert self._lookout is not None, "it struck"
        self._lookout.stop()
        return self._lookout.seen_s


@dataclass(slots=True)
class Kill(Watched):
    """A process of the cluster gets a signal; Serve, Ray or our own watch puts another in its place."""

    name: str
    title: str
    cluster: FaultCluster
    kind: Kind
    having: str = ""
    number: signal.Signals = signal.SIGKILL
    noted: str | None = None
    """What the log of Serve's controller says when it knows; None takes it to know when there is another process."""
    hold_s: float = 0.0
    limit_s: float = LIMIT_S

    async def strike(self, mark: Mark) -> None:
        """Send the signal, and look out for who notices."""
        processes = self.cluster.processes
        self._lookout = (
            Lookout.for_process(processes, self.kind)
            if self.noted is None
            else Lookout.for_words(self.cluster.logs, self.noted)
        )
        mark(self.name)
        processes.strike(self.kind, self.number, having=self.having)


@dataclass(slots=True)
class AgentKilled(Unaided):
    """A device loses its power, and comes back."""

    fleet: Fleet
    agent: str
    name: str = "agent"
    title: str = "an agent is killed, and started again after 3 s"
    hold_s: float = 3.0
    limit_s: float = LIMIT_S

    async def strike(self, mark: Mark) -> None:
        """Kill it."""
        mark(self.name)
        self.fleet.kill(self.agent)

    async def mend(self) -> None:
        """Start it again."""
        self.fleet.revive(self.agent)


@dataclass(slots=True)
class LinkDown(Unaided):
    """The link that all agents share carries nothing for a while."""

    fleet: Fleet
    name: str = "link"
    title: str = "the link is down for 6 s"
    hold_s: float = 6.0
    limit_s: float = LIMIT_S
    _struck_s: float = field(default=0.0, init=False)

    async def strike(self, mark: Mark) -> None:
        """Take it down."""
        mark(self.name)
        self._struck_s = time.time()
        self.fleet.set_link(DOWN)

    async def mend(self) -> None:
        """Let it carry again."""
        self.fleet.set_link(LINK)

    def detected_s(self) -> float | None:
        """Say when the first agent said so."""
        return min((at_s for at_s in self.fleet.link_downs_s if at_s >= self._struck_s), default=None)


@dataclass(slots=True)
class NodeKilled(Watched):
    """A worker node on which a tail replica lives is gone at once."""

    cluster: FaultCluster
    name: str = "node"
    title: str = "a worker node with a tail replica is killed"
    hold_s: float = 0.0
    limit_s: float = LIMIT_S
    _node: SecondNode | None = field(default=None, init=False)

    async def prepare(self) -> None:
        """Start the node, and have Serve put a replica there.

        Raises:
            ClusterUnreachable: Serve put none there.
        """
        replicas = len(self.cluster.processes.of("replica"))
        self._node = node = await asyncio.to_thread(self.cluster.start_node)
        for _ in range(MOVES):
            if await self._settled(replicas):
                return
            self.cluster.processes.of("replica")[0].kill()
            await asyncio.sleep(MOVE_S)
        node.stop()
        raise ClusterUnreachable("Serve put no replica on the second node")

    async def _settled(self, replicas: int) -> bool:
        """Wait until there are as many replicas as before; tells whether one of them is on the node."""
        assert self._node is not None, "it was started"
        until_s = time.monotonic() + MOVE_TIMEOUT_S
        while time.monotonic() < until_s:
            here = await asyncio.to_thread(self.cluster.processes.of, "replica")
            there = await asyncio.to_thread(self._node.processes.of, "replica")
            if len(here) + len(there) >= replicas:
                return bool(there)
            await asyncio.sleep(0.5)
        return False

    async def strike(self, mark: Mark) -> None:
        """Kill its raylet and all its workers."""
        assert self._node is not None, "it was prepared"
        self._lookout = Lookout.for_words(self.cluster.logs, REPLICA_LOST)
        mark(self.name)
        self._node.kill()


@dataclass(slots=True)
class AtRandom(Unaided):
    """Faults that strike one after the other, whether the ones before are mended or not.

    Nobody is said to have noticed them, since they overlap.
    """

    faults: list[Fault]
    count: int
    pause_s: tuple[float, float]
    seed: int
    name: str = "random"
    hold_s: float = 0.0
    limit_s: float = LIMIT_S

    @property
    def title(self) -> str:
        """Say how many."""
        return f"{self.count} faults at random, {self.pause_s[0]:g} to {self.pause_s[1]:g} s apart"

    async def strike(self, mark: Mark) -> None:
        """Draw, strike, pause; what only we can mend is mended before the next."""
        chance = random.Random(self.seed)
        for number in range(self.count):
            fault = chance.choice(self.faults)
            try:
                await fault.strike(mark)
            except ClusterUnreachable:
                mark(f"{fault.name} (was dead already)")
            if fault.hold_s:
                await asyncio.sleep(fault.hold_s)
                await fault.mend()
            if number + 1 < self.count:
                await asyncio.sleep(chance.uniform(*self.pause_s))
