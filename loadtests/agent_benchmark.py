"""What the agent itself costs: to import, to start, in memory, to decide, and for each frame beside the head.

Owns the runs of the agent. The cluster is started as a process, with a real bundle, for the whole of it.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.child import Child, Event
from loadtests.clips import first_frame
from loadtests.decision_benchmark import time_decisions
from wire.bundle import Bundle

START_TIMEOUT_S: Final = 180.0
RUN_TIMEOUT_S: Final = 120.0
REPEATS: Final = 5
AGENT_IMPORTS: Final = "import device_agent.main, device_agent.session"


@dataclass(frozen=True, slots=True)
class AgentBenchmark:
    """Runs of ``frames`` frames of a clip, at each of ``policies``, with the bundle cached in ``cache``."""

    bundle: Path
    policies: tuple[str, ...]
    clip: Path
    cache: Path
    frames: int
    port: int

    def run(self, on_stage: Callable[[str], None]) -> dict[str, Any]:
        """Measure, and give medians over the repeats; ``on_stage`` is told what is measured now."""
        on_stage("imports")
        figures: dict[str, Any] = {
            "python_s": _median_s("pass"),
            "import_s": _median_s(AGENT_IMPORTS),
            "import_onnxruntime_s": _median_s("import onnxruntime"),
        }
        on_stage("decisions")
        bundle = Bundle.open(self.bundle, "device")
        figures["decision"] = time_decisions(bundle.manifest.options, first_frame(bundle, self.clip))
        on_stage("the start of a cluster")
        up = [sys.executable, "-m", "cluster.cli.main", "up", str(self.bundle), "--port", str(self.port), "--json"]
        with Child(up) as cluster:
            cluster.wait_for("cluster.ready", timeout_s=START_TIMEOUT_S)
            on_stage("the first contact")
            self._agent(self.policies[0])
            policies = {}
            for policy in self.policies:
                on_stage(policy)
                policies[policy] = _medians([self._agent(policy) for _ in range(REPEATS)])
        figures["policies"] = policies
        for name in ("start_s", "rss_mb", "overhead_ms"):
            figures[name] = max(row[name] for row in policies.values())
        return figures

    def _agent(self, policy: str) -> Event:
        command = [
            sys.executable, "-m", "device_agent.main", "--server", f"ws://127.0.0.1:{self.port}",
            "--source", str(self.clip), "--fps", "0", "--frames", str(self.frames), "--policy", policy,
            "--cache", str(self.cache), "--deadline-ms", "2000", "--json",
        ]  # fmt: skip
        with Child(command) as agent:
            return agent.wait_for("summary", timeout_s=RUN_TIMEOUT_S)


def _median_s(code: str) -> float:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    once()  # the first one reads from the disk
    return median(once() for _ in range(REPEATS))


def _medians(runs: list[Event]) -> dict[str, float]:
    return {
        "start_s": median(run["start_s"] for run in runs),
        "rss_mb": median(run["rss_mb"] for run in runs),
        "overhead_ms": median(run["agent_overhead_ms"] for run in runs),
        "latency_p50_ms": median(run["latency_ms"]["p50"] for run in runs),
        "unanswered": sum(run["unanswered"] for run in runs),
    }
