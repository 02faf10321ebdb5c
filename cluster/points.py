"""Partition points: every place where a traceable backbone can be cut into one tensor.

Owns the finding of the cuts and the splitting at one of them. Knows nothing of codecs or bundles.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from cluster.backbones.tracing import trace
from wire.errors import BackboneError, UnknownPoint
from wire.ids import PointName

INPUT: Final = PointName("input")
OUTPUT: Final = PointName("output")


@dataclass(frozen=True, slots=True)
class Point:
    """One partition point.

    ``shape`` is that of the tensor for one frame, without the batch; ``raw_bytes`` is its size as it is
    stored in memory; multiply-accumulates are for one frame.
    """

    name: PointName
    shape: tuple[int, ...]
    raw_bytes: int
    head_macs: int
    tail_macs: int


class Cuts:
    """The partition points of one backbone, and the backbone split at any of them.

    A point is a node of the ``torch.fx`` graph whose single tensor separates the input from the output, so a
    residual unit is one step (JALAD, section III).
    """

    def __init__(self, backbone: nn.Module, example: Tensor) -> None:
        """Trace ``backbone`` with ``example``, a batch of one frame.

        Raises:
            BackboneError: the backbone cannot be traced, or does not map one tensor to one tensor.
        """
        backbone = backbone.eval()
        self._traced = trace(backbone)
        self._nodes = [node for node in self._traced.graph.nodes if node.op != "output"]
        costs = _measure(self._traced, example)
        total_macs = sum(cost.macs for cost in costs.values())
        self._points: dict[PointName, Point] = {}
        self._node_of: dict[PointName, fx.Node] = {}
        names = _names(self._traced.graph)
        macs = 0
        for node in self._nodes:
            macs += costs[node].macs
            cost = costs[node]
            if node not in names or cost.shape is None:
                continue
            point = Point(names[node], cost.shape[1:], cost.bytes, macs, total_macs - macs)
            self._points[point.name] = point
            self._node_of[point.name] = node

    @property
    def every_point(self) -> tuple[Point, ...]:
        """Every separating node, from ``input`` to ``output``."""
        return tuple(self._points.values())

    @property
    def points(self) -> tuple[Point, ...]:
        """The points worth offering: of each run of equal work the last that is smallest; and both ends.

        Of equally small tensors one with height and width goes before the vector that it is flattened to, since most
        codecs make use of them.
        """
        runs = groupby(self.every_point, key=lambda point: point.head_macs)
        smallest = [min(reversed(list(run)), key=_worth) for _, run in runs]
        ends = (self._points[INPUT], self._points[OUTPUT])
        inner = (point for point in smallest if point not in ends and point.head_macs and point.tail_macs)
        return (ends[0], *inner, ends[1])

    def point(self, name: str) -> Point:
        """Look a point up by its name.

        Raises:
            UnknownPoint: the backbone has no such point; the error names those that it has.
        """
        try:
            return self._points[PointName(name)]
        except KeyError:
            offered = ", ".join(point.name for point in self.points)
            raise UnknownPoint(f"the backbone has no partition point {name!r}", mend=f"one of: {offered}") from None

    def split(self, name: str) -> tuple[fx.GraphModule, fx.GraphModule]:
        """Cut the backbone at a point into its head and its tail.

        ``tail(head(x))`` is the backbone's own output, bit for bit.
        """
        cut = self._node_of[self.point(name).name]
        position = self._nodes.index(cut)
        before, after = self._nodes[: position + 1], self._nodes[position + 1 :]
        carrying = _carrying(self._traced.graph)
        constants = [node for node in before if node not in carrying]
        head = _subgraph(self._traced, before, argument=None, result=cut)
        tail = _subgraph(self._traced, [*constants, *after], argument=cut, result=self._result)
        return head, tail

    @property
    def _result(self) -> fx.Node:
        return self._node_of[OUTPUT]


def _worth(point: Point) -> tuple[int, bool]:
    has_places = len(point.shape) == 3 and point.shape[1] * point.shape[2] > 1
    return point.raw_bytes, not has_places


@dataclass(frozen=True, slots=True)
class _Cost:
    shape: tuple[int, ...] | None
    bytes: int
    macs: int


class _Meter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.costs: dict[fx.Node, _Cost] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and note what it gave and what it cost."""
        with FlopCounterMode(display=False) as counter:
            value = super().run_node(n)
        macs = counter.get_total_flops() // 2
        if isinstance(value, Tensor) and value.dim():
            self.costs[n] = _Cost(tuple(value.shape), value[:1].numel() * value.element_size(), macs)
        else:
            self.costs[n] = _Cost(None, 0, macs)
        return value


def _measure(traced: fx.GraphModule, example: Tensor) -> dict[fx.Node, _Cost]:
    meter = _Meter(traced)
    try:
        with torch.no_grad():
            result = meter.run(example)
    except RuntimeError as error:
        raise BackboneError(
            f"the backbone does not run on a frame of shape {tuple(example.shape[1:])}: {error}",
            mend="give the shape that it was made for",
        ) from error
    if not isinstance(result, Tensor) or not result.dim():
        raise BackboneError(f"the backbone gives {type(result).__name__}", mend="wrap it to give one tensor a frame")
    return meter.costs


def _separators(graph: fx.Graph) -> Iterator[fx.Node]:
    """Yield the nodes through which everything that the output needs must pass, in order."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or any(user in needed for user in node.users):
            needed.add(node)
    carrying = _carrying(graph)
    waiting: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op == "output" or node not in needed or node not in carrying:
            continue
        for source in set(node.all_input_nodes) & carrying:
            waiting[source] -= 1
            if not waiting[source]:
                del waiting[source]
        waiting[node] = sum(user in needed for user in node.users)
        if len(waiting) == 1:
            yield node


def _carrying(graph: fx.Graph) -> set[fx.Node]:
    """Give the nodes that depend on the frame: all but parameters, constants and what is made of those."""
    carrying: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in carrying for source in node.all_input_nodes):
            carrying.add(node)
    return carrying


def _names(graph: fx.Graph) -> dict[fx.Node, PointName]:
    """Name each separator after the largest module whose result it is, or else after its own node."""
    order = [node for node in graph.nodes if node.op != "output"]
    last_in: dict[str, fx.Node] = {}
    for node in order:
        for path in _stack(node):
            last_in[path] = node
    separators = list(_separators(graph))
    if len(separators) < 2:
        raise BackboneError("the backbone computes nothing from its input", mend="give a network that uses its input")
    names: dict[fx.Node, PointName] = {separators[0]: INPUT, separators[-1]: OUTPUT}
    taken = {INPUT, OUTPUT}
    for node in separators[1:-1]:
        whole = [path for path in _stack(node) if path and last_in[path] is node]
        # A module that is called more than once, or has the name of an end, is no name.
        candidates = [*whole[:1], node.name, f"{node.name}_point"]
        name = next(PointName(each) for each in candidates if each not in taken)
        names[node] = name
        taken.add(name)
    return names


def _stack(node: fx.Node) -> list[str]:
    """Return the paths of the modules around a node, outermost first."""
    stack = node.meta.get("nn_module_stack") or {}
    return [str(path) for path, _ in stack.values()]


def _subgraph(
    traced: fx.GraphModule, nodes: list[fx.Node], *, argument: fx.Node | None, result: fx.Node
) -> fx.GraphModule:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    if argument is not None:
        copies[argument] = graph.placeholder("features")
    for node in nodes:
        copies[node] = graph.node_copy(node, lambda source: copies[source])
    graph.output(copies[result])
    module = fx.GraphModule(traced, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module.eval()
