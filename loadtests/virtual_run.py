"""One policy on one link, in virtual time, from the first frame to the last."""

from math import inf
from typing import Final

import simpy

from loadtests.frame_tables import FrameTables
from loadtests.link_script import LinkScript
from loadtests.virtual_agent import VirtualAgent
from loadtests.virtual_cluster import VirtualCluster
from loadtests.virtual_device import VirtualDevice
from loadtests.virtual_frame import VirtualFrame
from loadtests.virtual_link import VirtualLink
from wire.errors import SettingError

_MEND: Final = "give the frames a deadline, or a script whose last state carries something"


def run_policy(
    tables: FrameTables, script: LinkScript, device: VirtualDevice, *, seed: int = 0
) -> tuple[VirtualFrame, ...]:
    """Answer every frame of ``device`` over a link, on an unloaded cluster; ``seed`` decides the link's jitter.

    A recorded link is played by its ``LinkTrace.script``. The same arguments give the same answers.

    Raises:
        SettingError: without a deadline, on a link that ends stalled or down, a frame may never be answered.
    """
    if device.rules.constraints.deadline_s == inf and not script.steps[-1].state.bytes_per_s:
        raise SettingError("a link that ends at 0 Mbit/s may hold up a frame without a deadline for ever", mend=_MEND)
    env = simpy.Environment()
    agent = VirtualAgent(env, tables, device, VirtualLink(script, seed=seed), VirtualCluster(env, tables))
    env.run(until=agent.done)
    return tuple(agent.answers)
