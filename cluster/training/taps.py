"""One backbone that gives the tensors at several of its points in one run.

Owns the graph; ``cluster.points`` says where the points are.
"""

from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from cluster.points import OUTPUT, Cuts


def tapped(cuts: Cuts, points: Sequence[str]) -> nn.Module:
    """Give the backbone, frozen, with a tuple of the tensors at ``points`` as its result, and no work beyond them."""
    whole = cuts.split(OUTPUT)[0]
    nodes = {node.name: node for node in whole.graph.nodes}
    # A head keeps the names of the backbone's own graph, so its result is found there again.
    wanted = tuple(nodes[_result(cuts.split(point)[0].graph).name] for point in points)
    _output(whole.graph).args = (wanted,)
    whole.graph.eliminate_dead_code()
    whole.recompile()
    return fuse(whole).requires_grad_(requires_grad=False)


def _output(graph: fx.Graph) -> fx.Node:
    (output,) = (node for node in graph.nodes if node.op == "output")
    return output


def _result(graph: fx.Graph) -> fx.Node:
    result: Any = _output(graph).args[0]
    assert isinstance(result, fx.Node)
    return result
