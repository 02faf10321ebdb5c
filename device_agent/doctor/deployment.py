"""What is known of the deployment that is looked at; each check adds what it learns for those that come after it."""

from dataclasses import dataclass
from typing import Protocol

from device_agent.addresses import ServerAddress
from device_agent.cluster_info import ClusterVersion, Fetch
from wire.bundle import Bundle
from wire.ids import PointName
from wire.messages import LoadSignal


class DatedFetch(Fetch, Protocol):
    """A fetch that knows the Date header of its last response."""

    date: str | None


@dataclass(slots=True)
class Deployment:
    """One cluster as it is seen from here; what is not known yet is None or empty."""

    server: ServerAddress
    version: ClusterVersion | None = None
    wanted: Bundle | None = None
    """The bundle that the user has at hand."""
    bundle: Bundle | None = None
    """The bundle that the cluster serves, whole and checked."""
    loads: tuple[LoadSignal, ...] = ()

    @property
    def place(self) -> str:
        """The host and the port, as people write them."""
        host = f"[{self.server.host}]" if ":" in self.server.host else self.server.host
        return f"{host}:{self.server.port}"

    def load(self, point: PointName) -> LoadSignal | None:
        """Give the load signal of a point, if the cluster gave one."""
        return next((load for load in self.loads if load.point == point), None)
