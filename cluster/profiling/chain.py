"""A backbone as a chain of groups between consecutive partition points, few enough to measure every run of them.

Owns which boundaries are kept, and the one graph that gives the tensor at each of them. Measures nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Final

from torch import fx

from cluster.backbones.registry import Backbone
from cluster.points import INPUT, OUTPUT, Cuts, Point
from cluster.profiling.group_profile import Square
from wire.errors import SettingError

FLOAT32_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Chain:
    """A backbone of n groups: n + 1 boundaries, the bytes of the tensor at each, and the work of each group.

    ``module`` maps normalised frames (N, 3, H, W) to the tuple of the tensors at boundaries 1 to n, logits last.
    """

    backbone: Backbone
    boundaries: tuple[str, ...]
    tensor_bytes: tuple[float, ...]
    macs: tuple[int, ...]
    module: fx.GraphModule

    @classmethod
    def of(cls, backbone: Backbone, *, most_groups: int) -> "Chain":
        """Cut a backbone at every point worth offering, and merge the lightest groups until there are few enough.

        Raises:
            BackboneError: the backbone cannot be traced.
            SettingError: fewer than one group is asked for.
        """
        cuts = Cuts(backbone.module, backbone.example())
        points = merge_lightest(cuts.points, most_groups)
        frame = backbone.frame
        sizes = (float(FLOAT32_BYTES * prod(point.shape)) for point in points[1:])
        works = (after.head_macs - before.head_macs for before, after in pairwise(points))
        return cls(
            backbone,
            tuple(point.name for point in points),
            (float(frame.height * frame.width * 3), *sizes),
            tuple(works),
            _giving_every_boundary(cuts, points),
        )

    @property
    def groups(self) -> int:
        """How many there are: n."""
        return len(self.macs)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Every run of consecutive groups as (first, last), both included."""
        return tuple((first, last) for first in range(self.groups) for last in range(first, self.groups))

    def square(self, figure: Callable[[tuple[int, int]], float]) -> Square:
        """Lay a figure of every range out as (n, n), with 0 below the diagonal."""
        groups = range(self.groups)
        return tuple(tuple(figure((first, last)) if first <= last else 0.0 for last in groups) for first in groups)

    def group_modules(self) -> tuple[fx.GraphModule, ...]:
        """Give each group as a module of its own, which maps the tensor at its first boundary to that at its last."""
        graph = self.module.graph
        (given,) = [node for node in graph.nodes if node.op == "placeholder"]
        ends = [given, *_results(graph)]
        return tuple(_between(self.module, start, end) for start, end in pairwise(ends))


def merge_lightest(points: Sequence[Point], most_groups: int) -> tuple[Point, ...]:
    """Drop points between groups until at most so many groups are left; both ends stay.

    Each time the two neighbours go together that have the least work, so that the groups become of like weight.

    Raises:
        SettingError: ``most_groups`` is below 1.
    """
    if most_groups < 1:
        raise SettingError(f"a backbone cannot have {most_groups} groups", mend="ask for 1 or more")
    kept = list(points)
    while len(kept) - 1 > most_groups:
        work = {inner: kept[inner + 1].head_macs - kept[inner - 1].head_macs for inner in range(1, len(kept) - 1)}
        del kept[min(work, key=work.__getitem__)]
    return tuple(kept)


def _giving_every_boundary(cuts: Cuts, points: Sequence[Point]) -> fx.GraphModule:
    assert (points[0].name, points[-1].name) == (INPUT, OUTPUT), "the ends of a backbone are points"
    whole, _ = cuts.split(OUTPUT)
    # A head is the beginning of the whole, node by node, so their nodes have the same names.
    names = [_results(cuts.split(point.name)[0].graph)[0].name for point in points[1:]]
    nodes = {node.name: node for node in whole.graph.nodes}
    (output,) = [node for node in whole.graph.nodes if node.op == "output"]
    output.args = (tuple(nodes[name] for name in names),)
    whole.recompile()
    return whole


def _results(graph: fx.Graph) -> tuple[fx.Node, ...]:
    (output,) = [node for node in graph.nodes if node.op == "output"]
    results = output.args[0]
    return results if isinstance(results, tuple) else (results,)


def _between(module: fx.GraphModule, start: fx.Node, end: fx.Node) -> fx.GraphModule:
    needed, waiting = {end}, [end]
    while waiting:
        found = {source for source in waiting.pop().all_input_nodes if source is not start} - needed
        needed |= found
        waiting += found
    graph = fx.Graph()
    copies = {start: graph.placeholder("features")}
    for node in module.graph.nodes:
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    return fx.GraphModule(module, graph)
