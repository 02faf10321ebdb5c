"""A look: one message of a frame, and what came of it; a frame has one, or more while the answers leave doubt.

Owns what one look comes to and whether its answer is certain. Sends nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from device_agent.head import Encoded
from device_agent.reply import NoReply, Reply
from wire.manifest import Refinement
from wire.messages import Result


@dataclass(frozen=True, slots=True)
class Look:
    """One message and its reply; ``exchange_s`` is from the moment that it was handed over until then, in seconds."""

    encoded: Encoded
    reply: Reply | NoReply
    exchange_s: float

    @property
    def cluster_s(self) -> float:
        """The cluster's share of the exchange; 0 without a result."""
        return min(self.reply.result.timings.total_s, self.exchange_s) if isinstance(self.reply, Reply) else 0.0

    @property
    def link_s(self) -> float:
        """What is left of the exchange."""
        return self.exchange_s - self.cluster_s

    @property
    def device_s(self) -> float:
        """Head and coder, without what came on top the first time."""
        return self.encoded.device_s + self.encoded.code_s

    @property
    def message_s(self) -> float:
        """The coder and the messages around it, on the device."""
        return self.encoded.code_s + self.reply.message_s


def last_result(looks: Iterable[Look]) -> Result | None:
    """Give the result that counts: that of the last look that has one."""
    results = [look.reply.result for look in looks if isinstance(look.reply, Reply)]
    return results[-1] if results else None


def leaves_doubt(result: Result, refinement: Refinement) -> bool:
    """Tell whether the best class leads the next one by less than ``refinement`` asks; one class alone leads by all.

    The device asks for more only while the answer is uncertain, and stops when it is not: progressive feature
    transmission (Lan et al., 2021), here in a few steps and with the lead in the place of the entropy.
    """
    if len(result.scores) < 2:
        return False
    return result.scores[0] - result.scores[1] < refinement.lead
