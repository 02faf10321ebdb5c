"""One frame on its way through the agent: what was decided for it, and where its time went."""

from dataclasses import dataclass

from device_agent.answer import Parts
from device_agent.frame_feed import DueFrame
from device_agent.look import Look
from device_agent.patience import Patience
from device_agent.planner import Decision
from wire.manifest import Option


@dataclass(frozen=True, slots=True)
class Attempt:
    """One frame from its decision on; ``begun_s`` is on the monotonic clock."""

    due: DueFrame
    begun_s: float
    decision: Decision
    planned: Option
    plan_s: float
    patience: Patience

    def parts(self, looks: tuple[Look, ...] = (), *, device_s: float = 0.0, local_s: float = 0.0) -> Parts:
        """Say where the time went: in looks, in the whole network (``device_s``), or in a run of it beside them."""
        return Parts(
            wait=max(self.begun_s - self.due.due_s, 0.0),
            device=device_s + sum(look.encoded.device_s + look.encoded.warm_s for look in looks),
            code=sum(look.encoded.code_s for look in looks),
            link=sum(look.link_s for look in looks),
            cluster=sum(look.cluster_s for look in looks),
            local=local_s,
        )
