"""The backward pass of every run of groups with torch's autograd: JointDNN's training variant.

Owns what counts as the backward pass. A range needs no graph of its own here: autograd fuses nothing across groups.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from cluster.profiling.chain import Chain
from cluster.profiling.group_profile import Square
from cluster.profiling.samples import Listener, Samples, own_clock

FORWARD_REPEATS: Final = 4
"""One backward repeat to so many forward ones: it takes longer, and a plan needs it less exactly."""
LEAST_REPEATS: Final = 3


def measure_backward(chain: Chain, *, threads: int, repeats: int, listener: Listener) -> Square:
    """Give the median seconds of the backward pass of every range for one frame; the forward pass before is not in it.

    Batch norms are as in inference: with a single frame they have no statistics of their own.
    """
    samples = Samples(own_clock(threads))
    rounds = max(LEAST_REPEATS, repeats // FORWARD_REPEATS)
    with _torch_threads(threads):
        ranges = _Ranges(chain)
        for done in range(rounds):
            for number, (first, last) in enumerate(chain.ranges):
                if not done:
                    ranges.backward(first, last)()  # warms up
                samples.run((first, last), ranges.backward(first, last))
                listener("backward", done * len(chain.ranges) + number + 1, rounds * len(chain.ranges))
    return chain.square(samples.median_s)


class _Ranges:
    """Groups with weights of their own that want gradients, and the tensor before each group."""

    def __init__(self, chain: Chain) -> None:
        frame = chain.backbone.frame
        self._groups: Sequence[nn.Module] = [copy.deepcopy(group) for group in chain.group_modules()]
        for group in self._groups:
            group.requires_grad_(requires_grad=True)
        self._tensors = [torch.randn(1, 3, frame.height, frame.width, generator=torch.Generator().manual_seed(0))]
        with torch.no_grad():
            for group in self._groups:
                self._tensors.append(group(self._tensors[-1].clone()))  # a group may change its input in place

    def backward(self, first: int, last: int) -> Callable[[], object]:
        """Run a range forwards; gives what runs it backwards, once."""
        given = self._tensors[first].clone().requires_grad_(first > 0)
        wanted: list[Tensor] = [weight for group in self._groups[first : last + 1] for weight in group.parameters()]
        wanted += [given] if first > 0 else []
        result = given.clone()
        for group in self._groups[first : last + 1]:
            result = group(result)
        if not result.requires_grad:  # nothing before it has weights
            return lambda: None
        gradient = torch.ones_like(result)
        return lambda: torch.autograd.grad(result, wanted, gradient, allow_unused=True)


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
