"""Something of a cluster that is killed, and killed again whenever it is brought back; no tests here."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from cluster.cli.fault_processes import ClusterProcesses, Kind
from wire.errors import ClusterUnreachable

STRIKE_EVERY_S: Final = 0.05


@contextlib.contextmanager
def kept_dead(processes: ClusterProcesses, kind: Kind) -> Iterator[None]:
    """Kill all processes of a kind, and each that is started in their place, until the end.

    Raises:
        ClusterUnreachable: there is none.
    """
    over = threading.Event()

    def strike() -> None:
        while not over.wait(STRIKE_EVERY_S):
            with contextlib.suppress(ClusterUnreachable):  # none is there at the moment
                processes.strike(kind)

    processes.strike(kind)
    striker = threading.Thread(target=strike)
    striker.start()
    try:
        yield
    finally:
        over.set()
        striker.join()
