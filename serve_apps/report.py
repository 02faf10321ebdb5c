"""What a tail replica tells the control application twice a second, and what it is told back.

Owns the two records. Imports no Ray.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from wire.ids import DigestField
from wire.messages import Count, LoadSignal, ReplicaName, Seconds
from wire.records import Length

REPORT_EVERY_S: Final = 0.5
LONG_AGO_S: Final = 3600.0
"""The most that a record says of how long ago something was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How one replica stands."""

    replica: ReplicaName
    load: LoadSignal
    streams: Count
    """Streams that it holds and has not asked to go."""
    bundles: Annotated[tuple[DigestField, ...], Length(16)]
    """The bundles that it serves, the newest first."""
    behind: Count
    """Streams of a bundle that is not the newest."""
    settled_s: Seconds
    """How long ago it was started or told of other bundles: HAProxy was set up anew then."""
    fault: Annotated[str, Length(1024)]
    """Why a bundle that it was told of cannot be served; empty where all can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the replica should do."""

    move: Count
    """Ask so many agents to connect again, so that load evens out."""
    changed_s: Seconds
    """How long ago the cluster's replicas changed last: streams from before lead through a HAProxy that will end."""
