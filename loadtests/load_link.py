"""The shared link of a load test: one relay as a process, with so much background traffic on it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loadtests.child import Child
from loadtests.relay_connection import Address

START_S: Final = 30.0


@contextmanager
def shared_link(
    upstream: Address, *, mbps: float, background_mbps: float, delay_ms: float, log: Path
) -> Iterator[Address]:
    """Emulate a link before ``upstream`` that everyone shares, with a bulk flow towards the cluster; gives its address.

    Raises:
        ClusterUnreachable: the relay did not start.
    """
    command = [
        sys.executable, "-m", "loadtests.relay", "--upstream", f"{upstream[0]}:{upstream[1]}",
        "--script", f"0:{mbps:g}", "--delay-ms", f"{delay_ms:g}", "--background-mbps", f"{background_mbps:g}", "0",
    ]  # fmt: skip
    with Child(command, log=log) as relay:
        yield "127.0.0.1", relay.wait_for("relay.listening", timeout_s=START_S)["port"]
