"""The cluster of a benchmark: this machine profiled while it is quiet, the cluster up, the agents' cache filled.

Imported when a benchmark runs, since it imports the load tests.
"""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from cluster.free_ports import free_ports
from loadtests.adapt_scenario import AdaptScenario
from loadtests.child import Child
from loadtests.relay_connection import Address
from loadtests.steady_profile import keep_steady_profile

START_TIMEOUT_S: Final = 300.0


def start_cluster(
    stack: ExitStack,
    scenario: AdaptScenario,
    bundle: Path,
    out: Path,
    *,
    on_round: Callable[[int], None],
    on_start: Callable[[], None],
) -> Address:
    """Start a cluster that lives as long as ``stack``, and give its address; ``out`` takes the logs.

    ``on_round`` hears of each round of the profile, and ``on_start`` that it is done. The bundle is fetched before any
    link is emulated: what is compared is frames, not a download.

    Raises:
        ClusterUnreachable: the cluster or the first agent did not start.
    """
    keep_steady_profile(scenario.bundle, scenario.cache, on_round=on_round)
    on_start()
    address = ("127.0.0.1", free_ports(1)[0])
    up = [sys.executable, "-m", "cluster.cli.main", "up", str(bundle), "--port", str(address[1]), "--json"]
    child = stack.enter_context(Child(up, log=out / "cluster.log"))
    child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
    command = scenario.command("--frames", "1", name="prepare", address=address, policy="device-only")
    with Child(command, log=out / "prepare.log") as agent:
        agent.wait_for("summary", timeout_s=START_TIMEOUT_S)
    return address
