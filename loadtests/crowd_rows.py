"""What a real crowd's agents said, as the samples that a virtual crowd gives: so the same figures are of both.

Owns the reading of the agents' lines. Pure: what was measured goes in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from device_agent.option_table import OptionTable
from loadtests.crowd_simulation import SAMPLE_S, CrowdSamples
from loadtests.frame_tables import FrameTables
from wire.errors import SettingError
from wire.ids import OptionId, PointName
from wire.manifest import Option
from wire.messages import LoadSignal

ALONE: Final = -1
"""The point of a frame that asks nothing of the cluster."""


@dataclass(frozen=True, slots=True)
class Polled:
    """How all points stood at a time."""

    unix_s: float
    loads: tuple[LoadSignal, ...]


@dataclass(frozen=True, slots=True)
class ServiceCosts:
    """What one exchange by each option takes on an unloaded cluster, and where: what a crowd's load is reckoned in."""

    points: tuple[PointName, ...]
    by_option: Mapping[OptionId, tuple[int, float]]
    """The place in ``points``, or ``ALONE``, and the seconds."""

    @classmethod
    def of(cls, tables: FrameTables, options: Sequence[Option]) -> Self:
        """Take the costs of a bundle's ``options``; one that was not measured costs the mean of its point's.

        Raises:
            SettingError: the tables are of another bundle.
        """
        points = OptionTable.of(tables.options).points
        measured = {option.id: option for option in tables.options}
        by_id = {option.id: option for option in options}
        if any(by_id.get(number) != option for number, option in measured.items()):
            raise SettingError("the tables are of another bundle", mend="measure them again: leave out --tables")
        by_option = {}
        for option in options:
            seconds = [
                float(tables.cluster_s[row])
                for row, other in enumerate(tables.options)
                if other.id == option.id or (option.id not in measured and other.point == option.point)
            ]
            sends = option.coder != "none" and bool(seconds)
            by_option[option.id] = (points.index(option.point), float(np.mean(seconds))) if sends else (ALONE, 0.0)
        return cls(points, by_option)


def samples_of(
    agents: Sequence[Sequence[Mapping[str, Any]]],
    costs: ServiceCosts,
    *,
    began_unix_s: float,
    seconds: float,
    others_unix_s: Sequence[float],
    others: OptionId,
    polled: Sequence[Polled],
) -> CrowdSamples:
    """Make the samples of the agents' ``frame`` lines, an agent's in each of ``agents``.

    A frame asks for its looks × its planned option's seconds when it is due, as does each frame of the ``others`` when
    it was sent. Utilisation is that of the busiest point, and what waits is all that was in flight: a real cluster
    says no more.
    """
    count = round(seconds / SAMPLE_S)
    offered, background = np.zeros((count, len(costs.points))), np.zeros((count, len(costs.points)))
    latency_s = np.full((count, len(agents)), np.nan)
    by_agent: list[list[list[float]]] = [[[] for _ in range(count)] for _ in agents]
    alone: list[list[bool]] = [[] for _ in range(count)]
    for number, frames in enumerate(agents):
        for frame in frames:
            due, answered = (_sample(frame[key], began_unix_s, count) for key in ("due_unix_s", "unix_s"))
            point, exchange_s = costs.by_option[frame["planned"]]
            if due is not None and point != ALONE:
                offered[due, point] += frame["looks"] * exchange_s / SAMPLE_S
            if answered is not None:
                by_agent[number][answered].append(frame["latency_ms"] / 1e3)
                alone[answered].append(frame["where"] == "device")
    point, exchange_s = costs.by_option[others]
    for sent_unix_s in others_unix_s:
        if (sent := _sample(sent_unix_s, began_unix_s, count)) is not None:
            background[sent, point] += exchange_s / SAMPLE_S
    for number, of_agent in enumerate(by_agent):
        for sample, latencies_s in enumerate(of_agent):
            if latencies_s:
                latency_s[sample, number] = np.mean(latencies_s)
    return CrowdSamples(
        points=costs.points,
        times_s=np.arange(1, count + 1) * SAMPLE_S,
        offered=offered,
        background=background,
        utilisation=_polled(polled, began_unix_s, count, lambda loads: max(load.utilisation for load in loads)),
        waiting=_polled(polled, began_unix_s, count, lambda loads: float(sum(load.in_flight for load in loads))),
        latency_s=latency_s,
        on_device=np.array([np.mean(each) if each else np.nan for each in alone]),
    )


def _sample(unix_s: float, began_unix_s: float, count: int) -> int | None:
    sample = int((unix_s - began_unix_s) // SAMPLE_S)
    return sample if 0 <= sample < count else None


def _polled(polled: Sequence[Polled], began_unix_s: float, count: int, value: Any) -> NDArray[np.float64]:
    """Give the last value that was known in each sample."""
    values = np.zeros(count)
    for each in polled:
        if each.loads and (sample := _sample(each.unix_s, began_unix_s, count)) is not None:
            values[sample:] = value(each.loads)
    return values
