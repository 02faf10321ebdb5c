"""Schedules of JointDNN: which groups run where, and what the steps of such a schedule cost.

Owns the records, the steps and the adding up; chooses nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cluster.planning.tables import BackwardTable, GroupTable, Link, Square
from wire.errors import SettingError

Side = Literal["device", "cluster"]
Place = tuple[int, Side]
"""A node of JointDNN's graph: how many groups have been executed, and on which side their tensor is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Groups ``first`` to ``last``, both included, executed together on one side."""

    first: int
    last: int
    side: Side


@dataclass(frozen=True, slots=True)
class Transfer:
    """The tensor before group ``boundary`` (behind the last for their number) goes to a side."""

    boundary: int
    to: Side


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where every group runs, in order, and what one frame (or one training step) costs so."""

    segments: tuple[Segment, ...]
    latency_s: float
    energy_j: float
    """The device's, of computation and radio."""
    cluster_s: float
    """Of executions on the cluster, without transfers."""
    cluster_share: float
    """``cluster_s`` over that of running everything on the cluster at once."""

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Where a frame changes sides, in order; it begins on the device, and its answer ends there."""
        places: list[tuple[int, Side]] = [(segment.first, segment.side) for segment in self.segments]
        places.append((self.segments[-1].last + 1, "device"))
        befores: list[Side] = ["device", *(side for _, side in places[:-1])]
        return tuple(
            Transfer(boundary, side) for before, (boundary, side) in zip(befores, places, strict=True) if side != before
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One edge of the graph: a grouped execution with the transfer that it needs first, or the last download alone."""

    start: Place
    end: Place
    segment: Segment | None
    latency_s: float
    energy_j: float
    cluster_s: float


class Steps:
    """Every edge of JointDNN's graph for one table and one link (Eshratifar, Abrishami and Pedram, 2019).

    A frame begins on the device and its answer is wanted there, so a path goes from (0, device) to (n, device), and a
    schedule may change sides any number of times. A transfer is part of the execution before which it happens; no path
    goes to and fro at one place. Executions that follow each other on one side are allowed, as in the paper's program,
    and pay off only where the table has them cheaper apart than together. The device's idle power while the cluster
    works is not counted, nor is load.

    With a ``backward`` table the same is one training step. Each segment also runs its backward pass, as one grouped
    execution on the side of its forward pass, where its activations are. At each change of sides the activation goes
    over and the gradient, a tensor of that size, comes back the other way: two transfers. The input goes over once, as
    nobody wants its gradient. The loss is computed on the device, where the labels are: if the last segment is on the
    cluster, the output comes down and its gradient goes up. Weights and their gradients stay on the side of their
    group, so nothing is transferred for them, and neither the loss nor the optimiser's own step takes time.

    Raises:
        SettingError: the backward table is of another number of groups.
    """

    def __init__(self, table: GroupTable, link: Link, backward: BackwardTable | None = None) -> None:
        self._table, self._link = table, link
        self._passes: tuple[GroupTable | BackwardTable, ...] = (table, backward) if backward else (table,)
        if backward and len(backward.device_s) != table.groups:
            raise SettingError(
                f"a backward pass of {len(backward.device_s)} groups does not fit {table.groups} groups",
                mend="give the tables of one chain",
            )
        self.source: Place = (0, "device")
        self.target: Place = (table.groups, "device")
        executions = (
            self._execution(start, segment) for segment in self._segments() for start in self._starts(segment)
        )
        self.all: tuple[Step, ...] = (*executions, self._answer())

    def schedule(self, steps: Iterable[Step]) -> Schedule:
        """Add up the steps of a path from the source to the target."""
        path = list(steps)
        cluster_s = sum(step.cluster_s for step in path)
        whole_s = self._sum(0, self._table.groups - 1, [each.cluster_s for each in self._passes])
        return Schedule(
            segments=tuple(step.segment for step in path if step.segment),
            latency_s=sum(step.latency_s for step in path),
            energy_j=sum(step.energy_j for step in path),
            cluster_s=cluster_s,
            cluster_share=cluster_s / whole_s if whole_s else 0.0,
        )

    def on_one_side(self, side: Side) -> Schedule:
        """Give the schedule that executes all groups together on one side."""
        every = Segment(0, self._table.groups - 1, side)
        execution = next(step for step in self.all if step.segment == every and step.start == self.source)
        return self.schedule([execution] if side == "device" else [execution, self.all[-1]])

    def _segments(self) -> Iterator[Segment]:
        sides: tuple[Side, Side] = ("device", "cluster")
        for first in range(self._table.groups):
            for last in range(first, self._table.groups):
                yield from (Segment(first, last, side) for side in sides)

    def _starts(self, segment: Segment) -> Iterator[Place]:
        yield segment.first, "device"
        if segment.first:
            yield segment.first, "cluster"

    def _execution(self, start: Place, segment: Segment) -> Step:
        transfer_s, transfer_j = self._transfer(start, segment.side)
        first, last = segment.first, segment.last
        cluster_s = energy_j = 0.0
        if segment.side == "cluster":
            run_s = cluster_s = self._sum(first, last, [each.cluster_s for each in self._passes])
        else:
            run_s = self._sum(first, last, [each.device_s for each in self._passes])
            energy_j = self._sum(first, last, [each.device_energy_j for each in self._passes])
        end = (last + 1, segment.side)
        return Step(start, end, segment, transfer_s + run_s, transfer_j + energy_j, cluster_s)

    def _answer(self) -> Step:
        start: Place = (self._table.groups, "cluster")
        return Step(start, self.target, None, *self._transfer(start, "device"), 0.0)

    def _transfer(self, start: Place, side: Side) -> tuple[float, float]:
        """Give the seconds and the device's joules to have the tensor of ``start`` on ``side``."""
        boundary, at = start
        if at == side:
            return 0.0, 0.0
        up = self._table.upload_bytes[boundary]
        down = self._table.download_bytes[boundary]
        both_ways = len(self._passes) > 1 and boundary > 0
        seconds = joules = 0.0
        if side == "cluster" or both_ways:
            seconds, joules = self._link.upload_s(up), self._link.upload_j(up)
        if side == "device" or both_ways:
            seconds, joules = seconds + self._link.download_s(down), joules + self._link.download_j(down)
        return seconds, joules

    @staticmethod
    def _sum(first: int, last: int, squares: Iterable[Square]) -> float:
        return sum(square[first][last] for square in squares)
