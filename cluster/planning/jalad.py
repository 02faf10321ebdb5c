"""JALAD's choice of a layer and of its bits, as the integer program that the paper states.

Owns the program. Does no I/O.
"""

import numpy as np
from scipy.optimize import LinearConstraint

from cluster.planning.program import solve
from cluster.planning.single_cut import Choice, costs
from cluster.planning.tables import CutTable, Link
from wire.errors import SettingError


def jalad(table: CutTable, link: Link, *, most_drop: float) -> Choice:
    """Choose exactly one (layer i, bits c), here (point, rate), as JALAD does (Li et al., ICPADS 2018).

    Its integer program has one 0/1 variable x_ic for each option, makes Σ x_ic (T_edge + T_cloud + S_i(c) / BW) least,
    and is subject to Σ x_ic = 1 and A_i(c) x_ic ≤ Δα, with Δα = ``most_drop``, a share of top-1 answers. As the
    variables are 0 or 1, the last is an upper bound of 0 on those whose drop is over it, which no solver's tolerance
    can soften. S / BW is the link's upload, so a base time of the link, which the paper does not have, counts too.

    Raises:
        SettingError: every option loses more than ``most_drop``.
        IsthmusError: HiGHS does not solve the program.
    """
    choices = [Choice(option, costs(option, link)) for option in table.options]
    drops = np.array([option.drop for option in table.options])
    latency_s = np.array([choice.costs.latency_s for choice in choices])
    chosen = solve(latency_s, [LinearConstraint(np.ones((1, len(choices))), 1, 1)], (drops <= most_drop).astype(float))
    if chosen is None:
        raise SettingError(
            f"no option keeps the drop at {most_drop:.4g}; the least there is is {drops.min():.4g}",
            mend="allow as much, or add options that lose less",
        )
    return choices[int(np.argmax(chosen))]
