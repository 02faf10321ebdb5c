"""A pod's share of the processor, as its requests give it: a kubelet makes a control group of that weight."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cluster.kubernetes.plain import Plain, list_at, map_at

HIERARCHY: Final = Path("/sys/fs/cgroup/cpu")
SHARES_OF_A_CORE: Final = 1024
FEWEST_SHARES: Final = 2
JOIN: Final = 'echo $$ > "$0" && exec "$@"'
WAIT_S: Final = 5.0


def requested_cores(template: Plain) -> float:
    """Give what the containers of a pod ask for together."""
    asked = (map_at(each, "resources", "requests").get("cpu", "0") for each in list_at(template, "spec", "containers"))
    return sum(map(cores, asked))


def cores(quantity: str) -> float:
    """Read a quantity of processors."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@contextlib.contextmanager
def share_of_processor(name: str, template: Plain) -> Iterator[tuple[str, ...]]:
    """Make a pod's group; give the words before a command that let it join.

    Without it all processes of all pods stand in one queue, and a pod with many takes the processor from one with few.
    There are no such words where the machine has no hierarchy of the kernel's first version.
    """
    if not (HIERARCHY / "cpu.shares").exists():
        yield ()
        return
    group = HIERARCHY / name
    group.mkdir()
    try:
        shares = max(round(requested_cores(template) * SHARES_OF_A_CORE), FEWEST_SHARES)
        (group / "cpu.shares").write_text(str(shares))
        yield ("sh", "-c", JOIN, str(group / "cgroup.procs"))
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            group.rmdir()
        except OSError:  # what was killed has not ended quite yet
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
