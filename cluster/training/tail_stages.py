"""The tail cut at its own partition points, for losses that look at what lies between.

Owns the cutting; ``cluster.points`` says where.
"""

from torch import Tensor, nn

from cluster.points import Cuts


def tail_stages(tail: nn.Module, example: Tensor) -> list[nn.Module]:
    """Cut ``tail`` at every point worth offering; the parts in their order are the tail, bit for bit.

    ``example`` is what the tail takes for one frame, with a batch axis.
    """
    parts: list[nn.Module] = []
    rest = tail
    while True:
        cuts = Cuts(rest, example)
        inner = cuts.points[1:-1]
        if not inner:
            return [*parts, rest]
        part, rest = cuts.split(inner[0].name)
        example = part(example)
        parts.append(part)
