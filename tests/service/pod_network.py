"""A network of pods on this machine: a bridge, and for each pod a network namespace with an address on it.

Needs Linux and root, as a node's own network plugin does.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

PROGRAMS: Final = ("ip", "unshare", "nsenter", "setpriv", "mount", "chroot")
WITH_US: Final = ("setpriv", "--pdeathsig=KILL")
"""Before a command: it ends when we do, however that may be."""
TIMEOUT_S: Final = 10.0


def why_not() -> str | None:
    """Say why there can be no pods here; None where there can."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    made = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return made.stderr.decode(errors="replace").strip() if made.returncode else None


class PodNetwork:
    """Gives each pod an address, which this machine and all other pods reach; a context."""

    def __init__(self) -> None:
        """Choose addresses that no other run on this machine has."""
        number = os.getpid()
        self._bridge = f"isth{number % 100000}"
        self._prefix = f"10.89.{number % 250 + 1}"
        self._last = 1

    @property
    def name(self) -> str:
        """What no other network on this machine is called."""
        return self._bridge

    def __enter__(self) -> "PodNetwork":
        run("ip", "link", "add", self._bridge, "type", "bridge")
        run("ip", "address", "add", f"{self._prefix}.1/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_: object) -> None:
        run("ip", "link", "delete", self._bridge)

    @contextlib.contextmanager
    def namespace(self) -> Iterator[tuple[int, str]]:
        """Give the id of a process that holds a namespace, and the address in it."""
        self._last += 1
        address, outer = f"{self._prefix}.{self._last}", f"{self._bridge}.{self._last}"
        holder = subprocess.Popen([*WITH_US, "unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        try:
            _wait_for_namespace(holder.pid)
            peer = ("peer", "name", "eth0", "netns", str(holder.pid))
            run("ip", "link", "add", outer, "type", "veth", *peer)
            run("ip", "link", "set", outer, "master", self._bridge, "up")
            inside = ("nsenter", "--target", str(holder.pid), "--net")
            run(*inside, "ip", "link", "set", "lo", "up")
            run(*inside, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            run(*inside, "ip", "link", "set", "eth0", "up")
            # Ray asks which of its addresses would be used to reach the world.
            run(*inside, "ip", "route", "add", "default", "via", f"{self._prefix}.1")
            yield holder.pid, address
        finally:
            holder.kill()
            holder.wait()


def run(*words: str) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise OSError(f"`{' '.join(words)}`: {done.stderr.strip()}")


def _wait_for_namespace(process_id: int) -> None:
    own = os.readlink("/proc/self/ns/net")
    until = time.monotonic() + TIMEOUT_S
    while os.readlink(f"/proc/{process_id}/ns/net") == own:
        if time.monotonic() > until:
            raise TimeoutError("the namespace was not made")
        time.sleep(0.01)
