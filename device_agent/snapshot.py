"""All that the planner looks at: what every option costs as it looks now, the limits, and what was decided before."""

from dataclasses import dataclass
from math import inf

from device_agent.energy import EnergyModel
from device_agent.link_estimate import LinkView
from device_agent.option_table import Flags, Floats, OptionTable
from device_agent.rules import Goal


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What every option costs as it looks now; row i of each column is the option of the table's row i."""

    device_s: Floats
    """Of head and entropy coder; of the whole network for the option that sends nothing."""
    moved_bytes: Floats
    """Both ways, of all of a frame's messages."""
    bytes_sd: Floats
    """Standard deviation of ``moved_bytes`` from frame to frame."""
    looks: Floats
    """The expected number of exchanges: more than 1 where an uncertain answer is asked again."""
    cluster_s: Floats
    """Of one exchange, with the queue."""
    served: Flags
    """Whether the cluster answers at the option's point; the option that sends nothing always is."""
    closed: Flags
    """Whether a stream to the option's point has to be opened first."""
    asleep: Flags
    """Whether the point has no replica now, and would be started for whoever asks."""
    link: LinkView | None
    """None while the link is down."""
    energy: EnergyModel


@dataclass(frozen=True, slots=True)
class Limits:
    """What this frame may cost at most, now: the constraints, and what is left of the allowances."""

    drop: float = 1.0
    latency_s: float = inf
    energy_j: float = inf
    cluster_s: float = inf
    bytes: float = inf


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """The option of the frame before, the load under which it was the best one, and how it came to be held."""

    row: int
    at_s: float
    """When it was decided on last."""
    cluster_s: Floats
    """(options,): of one exchange, when it was last the best option."""
    since_s: float
    """When the agent came to it."""
    calm_s: float
    """Within such a time, by chance, an option is gone to whose load has become less."""
    down_s: float = -inf
    """When it was last held because the link was down."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that the planner looks at.

    ``held`` is what was decided before, if anything was, and ``draw`` a random number of [0, 1) for moves that are made
    by chance. ``calm`` turns hysteresis and chance on, and ``races`` the device's
    own answer beside the cluster's.
    """

    table: OptionTable
    estimates: Estimates
    allowed: Flags
    goal: Goal
    limits: Limits
    due_s: float
    now_s: float
    held: Held | None = None
    draw: float = 0.0
    calm: bool = True
    races: bool = False
