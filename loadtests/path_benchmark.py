"""What a frame's path costs without a model: ours beside a bare echo and beside Ray Serve's tutorial.

Owns the order of the runs. Starts every server as a process of its own, one at a time, all in one run.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from loadtests.child import Child
from loadtests.closed_loop import Throughput, measure_post, measure_websocket
from wire.ids import BundleDigest, DeviceId, OptionId, PointName
from wire.messages import Frame, Hello, pack

CLIENTS: Final = (1, 16, 100)
START_TIMEOUT_S: Final = 120.0

PATHS: Final = {
    "a": "bare uvicorn WebSocket echo",
    "b": "our path, no-op tail, no Triton",
    "c": "our path, no-op model in Triton",
    "c_unbatched": "as c, one Triton call a frame",
    "d": "plain Ray Serve application of the tutorial",
}


@dataclass(frozen=True, slots=True)
class PathBenchmark:
    """One run: ``frame`` is a whole bitstream for an option of the bundle that ``up`` serves."""

    bundle: Path
    digest: BundleDigest
    point: PointName
    option_id: OptionId
    bitstream: bytes
    duration_s: float
    port: int

    def run(self, on_path: Callable[[str], None]) -> dict[str, Any]:
        """Measure every path at every number of clients; ``on_path`` is told which begins."""
        message = pack(Frame(frame_id=1, option_id=self.option_id, budget_s=60.0, bitstream=self.bitstream))
        hello = pack(Hello(DeviceId("benchmark"), "benchmark", self.digest))
        paths: dict[str, dict[str, Any]] = {}
        for path, server in (
            ("a", self._module("loadtests.uvicorn_echo", "echo.ready")),
            ("b", self._ours("noop", 16)),
            ("c", self._ours("triton-noop", 16)),
            ("c_unbatched", self._ours("triton-noop", 1)),
            ("d", self._module("serve_apps.tutorial_rival", "tutorial.ready")),
        ):
            on_path(PATHS[path])
            with server:
                paths[path] = {
                    str(clients): asdict(self._measure(path, hello, message, clients)) for clients in CLIENTS
                }
        return {"message_bytes": len(message), "paths": paths, "ratios": ratios(paths)}

    def _measure(self, path: str, hello: bytes, message: bytes, clients: int) -> Throughput:
        if path == "d":
            url = f"http://127.0.0.1:{self.port}/"
            return measure_post(url, message, clients=clients, duration_s=self.duration_s)
        route = "/" if path == "a" else f"/v1/points/{self.point}/stream"
        greeting = None if path == "a" else hello
        url = f"ws://127.0.0.1:{self.port}{route}"
        return measure_websocket(url, greeting, message, clients=clients, duration_s=self.duration_s)

    @contextmanager
    def _module(self, module: str, ready: str) -> Iterator[None]:
        with Child([sys.executable, "-m", module, "--port", str(self.port)]) as child:
            child.wait_for(ready, timeout_s=START_TIMEOUT_S)
            yield

    @contextmanager
    def _ours(self, tail: str, max_batch: int) -> Iterator[None]:
        command = [sys.executable, "-m", "cluster.cli.main", "up", str(self.bundle), "--port", str(self.port)]
        with Child([*command, "--tail", tail, "--max-batch", str(max_batch), "--json"]) as child:
            child.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
            yield


def ratios(paths: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Compare frames a second at equal numbers of clients."""
    return {
        clients: {
            "b_over_a": paths["b"][clients]["rps"] / paths["a"][clients]["rps"],
            "b_over_d": paths["b"][clients]["rps"] / paths["d"][clients]["rps"],
            "c_over_unbatched": paths["c"][clients]["rps"] / paths["c_unbatched"][clients]["rps"],
        }
        for clients in map(str, CLIENTS)
    }
