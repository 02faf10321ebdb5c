"""The options of a bundle as columns, for a planner that looks at all of them for every frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device_agent.policy import INPUT_POINT, Policy
from wire.ids import OptionId, PointName
from wire.manifest import Option

Floats = NDArray[np.float64]
"""(options,), one number an option."""
Flags = NDArray[np.bool_]
"""(options,), whether something holds of an option."""


@dataclass(frozen=True, slots=True, eq=False)
class OptionTable:
    """What does not change about the options of one bundle; row i is the option ``ids[i]``.

    There is one option that sends nothing, at the row ``local``: what remains when the link is down.
    """

    ids: tuple[OptionId, ...]
    names: tuple[str, ...]
    """POINT/RATE."""
    points: tuple[PointName, ...]
    """The points that are served, each once."""
    point_of: NDArray[np.intp]
    """(options,): the index of the option's point in ``points``; −1 at ``local``."""
    sends: Flags
    drop: Floats
    """Of top-1 accuracy, as a share, beside the unsplit backbone."""
    local: int

    @classmethod
    def of(cls, options: Sequence[Option]) -> "OptionTable":
        """Make the table of a bundle that can answer without the cluster."""
        points = tuple(dict.fromkeys(option.point for option in options if option.coder != "none"))
        index = {point: number for number, point in enumerate(points)}
        return cls(
            ids=tuple(option.id for option in options),
            names=tuple(f"{option.point}/{option.rate}" for option in options),
            points=points,
            point_of=np.array([index[o.point] if o.coder != "none" else -1 for o in options], np.intp),
            sends=np.array([option.coder != "none" for option in options]),
            drop=np.array([option.measured.top1_drop for option in options]),
            local=next(row for row, option in enumerate(options) if option.coder == "none"),
        )

    def allowed_by(self, policy: Policy) -> Flags:
        """Tell which options a policy leaves to choose from, whatever is served."""
        rows = range(len(self.ids))
        match policy.kind:
            case "device-only":
                return ~self.sends
            case "cluster-only":
                return np.array([self._at(row, INPUT_POINT) for row in rows])
            case "fixed":
                names = [name.partition("/")[2] for name in self.names]
                of_rate = [policy.rate in (None, rate) for rate in names]
                return np.array([self._is_point(row, policy.point) and of_rate[row] for row in rows])
            case _:
                return np.ones(len(self.ids), bool)

    def _at(self, row: int, point: PointName) -> bool:
        return bool(self.sends[row]) and self.points[self.point_of[row]] == point

    def _is_point(self, row: int, point: PointName | None) -> bool:
        return self.names[row].partition("/")[0] == point
