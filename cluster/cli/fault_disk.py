"""The faults of the cluster's disk: a file of the bundle that changed, and no room for another byte.

Owns what is done to files, and undoes it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.cli.fault_cluster import FaultCluster
from cluster.cli.fault_kinds import LIMIT_S, Kill, Unaided, Watched
from cluster.cli.fault_processes import Lookout
from loadtests.fault_run import Mark
from wire.bundle import Bundle
from wire.ids import PointName

REFUSED: Final = "its SHA-256 is not the manifest's"
"""What a replica says of a file that changed."""
CHUNK_BYTES: Final = 2**20


@dataclass(slots=True)
class ModelFile(Watched):
    """A byte of a graph changes on the cluster's disk, and a replica has to be started while it is so.

    The graph is another point's than the replica's: that point runs on with what it has loaded.
    """

    cluster: FaultCluster
    point: str
    other: str
    name: str = "model-file"
    title: str = "a byte of a graph flips on disk, and a replica of another point dies; mended after 12 s"
    hold_s: float = 12.0
    limit_s: float = LIMIT_S

    async def strike(self, mark: Mark) -> None:
        """Flip the byte and kill the replica."""
        self._flip()
        self._lookout = Lookout.for_words(self.cluster.logs, REFUSED)
        mark(self.name)
        self.cluster.processes.strike("replica", having=f"point-{self.point}:")

    async def mend(self) -> None:
        """Flip the byte back."""
        self._flip()

    def _flip(self) -> None:
        bundle = Bundle.open(self.cluster.bundle, "device")
        option = next(option for option in bundle.options_at(PointName(self.other)) if option.cluster_graph)
        assert option.cluster_graph is not None
        flip_byte(self.cluster.bundle / option.cluster_graph)


@dataclass(slots=True)
class DiskFull(Unaided):
    """The disk on which Ray, HAProxy and Triton write has no room for a while; perhaps a process dies meanwhile."""

    disk: Path
    then: Kill | None = None
    name: str = "disk"
    title: str = "the disk of Ray, HAProxy and Triton is full for 10 s"
    hold_s: float = 10.0
    limit_s: float = LIMIT_S

    async def strike(self, mark: Mark) -> None:
        """Fill it to the last byte."""
        await asyncio.to_thread(fill_disk, self.disk / "filler")
        mark(self.name)
        if self.then is not None:
            await self.then.strike(lambda _: None)

    async def mend(self) -> None:
        """Make room."""
        (self.disk / "filler").unlink()

    def detected_s(self) -> float | None:
        """Say when what died was started again, if something did."""
        return self.then.detected_s() if self.then is not None else None


def flip_byte(path: Path) -> None:
    """Invert the byte in the middle of a file; a second time puts it right."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        (byte,) = file.read(1)
        file.seek(middle)
        file.write(bytes([byte ^ 0xFF]))


def fill_disk(filler: Path) -> None:
    """Write until there is no room for another byte."""
    with filler.open("wb", buffering=0) as file:
        size = CHUNK_BYTES
        while size:
            try:
                written = file.write(bytes(size))
            except OSError:
                written = 0
            if written < size:
                size //= 2
