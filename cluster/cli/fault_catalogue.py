"""Every fault of ``isthmus bench faults`` by its name, in the order in which they strike.

Owns the list; the faults themselves are ``fault_kinds``'s and ``fault_disk``'s.
"""

import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cluster.cli.fault_cluster import FaultCluster
from cluster.cli.fault_disk import DiskFull, ModelFile
from cluster.cli.fault_kinds import REPLICA_LOST, AgentKilled, AtRandom, Kill, LinkDown, NodeKilled
from loadtests.fault_fleet import Fleet
from loadtests.fault_run import Fault
from wire.errors import SettingError

NAMES: Final = (
    "replica", "triton", "triton-hang", "triton-model", "triton-host", "haproxy", "proxy", "controller", "control",
    "agent", "link", "model-file", "disk", "disk-triton", "node", "random",
)  # fmt: skip
QUICK: Final = ("replica", "triton", "haproxy", "controller", "agent", "link")
NEEDS_DISK: Final = ("disk", "disk-triton")
PROXY_LOST: Final = "failed the health check"
"""What the log of Serve's controller says of an HAProxy that was not there three times."""
RANDOM_FAULTS: Final = 8
RANDOM_PAUSE_S: Final = (2.0, 8.0)


def chosen(only: Sequence[str], *, quick: bool) -> tuple[str, ...]:
    """Give the names of the faults that shall strike, in their order.

    Raises:
        SettingError: one does not exist.
    """
    if unknown := [name for name in only if name not in NAMES]:
        raise SettingError(f"there is no fault {unknown[0]!r}", mend=f"faults are: {', '.join(NAMES)}")
    wanted = only or (QUICK if quick else NAMES)
    return tuple(name for name in NAMES if name in wanted)


def catalogue(cluster: FaultCluster, fleet: Fleet, points: Sequence[str], *, seed: int) -> dict[str, Fault]:
    """Make the faults; those of a small disk only where there is one."""
    victim, other = points[0], points[-1]
    triton = Kill("triton", "Triton is killed", cluster, "triton")
    kills: list[Fault] = [
        Kill(
            "replica",
            f"the tail replica of {victim} is killed",
            cluster,
            "replica",
            having=f"point-{victim}:",
            noted=REPLICA_LOST,
        ),
        triton,
        Kill("triton-host", "the actor that keeps Triton is killed", cluster, "triton-host"),
        Kill("haproxy", "HAProxy is killed", cluster, "haproxy", noted=PROXY_LOST),
        Kill("controller", "the Serve controller is killed", cluster, "controller"),
        Kill("control", "the control application's replica is killed", cluster, "control", noted=REPLICA_LOST),
    ]
    own: list[Fault] = [AgentKilled(fleet, fleet.names[-1]), LinkDown(fleet)]
    faults = [
        *kills,
        *own,
        Kill("triton-hang", "Triton hangs (is stopped)", cluster, "triton", number=signal.SIGSTOP),
        Kill("triton-model", "the processes of Triton's models are killed", cluster, "model"),
        Kill("proxy", "the actor that keeps HAProxy is killed", cluster, "proxy", noted=PROXY_LOST),
        ModelFile(cluster, victim, other),
        NodeKilled(cluster),
        AtRandom([*kills, *own], RANDOM_FAULTS, RANDOM_PAUSE_S, seed),
    ]
    if cluster.disk is not None:
        faults += [
            DiskFull(cluster.disk),
            DiskFull(
                cluster.disk, then=replace(triton), name="disk-triton",
                title="the disk is full for 10 s, and Triton is killed meanwhile",
            ),
        ]  # fmt: skip
    by_name = {fault.name: fault for fault in faults}
    return {name: by_name[name] for name in NAMES if name in by_name}
