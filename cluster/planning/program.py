"""A linear program whose variables are all 0 or 1, as JALAD's and JointDNN's are; HiGHS solves it.

Owns the call and the meaning of its outcomes. Does no I/O.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from wire.errors import IsthmusError

_OPTIMAL: Final = 0
_INFEASIBLE: Final = 2


def solve(
    weights: NDArray[np.float64], constraints: Sequence[LinearConstraint], usable: NDArray[np.float64]
) -> NDArray[np.bool_] | None:
    """Choose 0 or 1 for each of (n,) variables so that the sum of the weights of those chosen is least.

    A variable whose ``usable`` is 0 is never chosen. Gives (n,), true where one is, or none where no choice keeps the
    constraints.

    Raises:
        IsthmusError: HiGHS ends in any other way; the error has its message.
    """
    # The solver's tolerances on the objective are absolute: it is scaled so that they are far below any difference.
    scale = 1e3 / (weights.max() or 1.0)
    solution = milp(
        weights * scale, constraints=constraints, bounds=Bounds(0, usable), integrality=np.ones(len(weights)),
        options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    if solution.status == _INFEASIBLE:
        return None
    if solution.status != _OPTIMAL:
        raise IsthmusError(
            f"HiGHS has not solved the program: {solution.message}",
            mend="look for costs that lie many powers of ten apart, or plan without limits",
        )
    chosen: NDArray[np.bool_] = solution.x > 0.5
    return chosen
