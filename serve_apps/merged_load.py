"""One load signal of a point out of those of its replicas. Pure."""

from collections.abc import Sequence
from typing import Final

from wire.messages import LoadSignal, LoadState

BEST_FIRST: Final[tuple[LoadState, ...]] = ("ready", "starting", "draining", "cold")


def merge_signals(signals: Sequence[LoadSignal]) -> LoadSignal:
    """Merge the signals of a point's replicas, at least one.

    The point stands as its best replica does, and the means are over the replicas that stand so: a frame that comes now
    is served by one of these. Frames in flight are those of all.
    """
    state = next(state for state in BEST_FIRST if any(signal.state == state for signal in signals))
    counted = [signal for signal in signals if signal.state == state]
    weights = [max(signal.replicas, 1) for signal in counted]

    def mean(values: Sequence[float]) -> float:
        return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)

    return LoadSignal(
        point=signals[0].point,
        state=state,
        service_s=mean([signal.service_s for signal in counted]),
        queue_s=mean([signal.queue_s for signal in counted]),
        utilisation=min(1.0, mean([signal.utilisation for signal in counted])),
        in_flight=sum(signal.in_flight for signal in signals),
        replicas=sum(signal.replicas for signal in counted),
        node_utilisation=min(1.0, mean([signal.node_utilisation for signal in counted])),
        cold_start_s=min(signal.cold_start_s for signal in counted),
        triton_queue_s=mean([signal.triton_queue_s for signal in counted]),
        triton_compute_s=mean([signal.triton_compute_s for signal in counted]),
    )
