"""``isthmus doctor`` as a process that has no more than the agent's packages; no tests here."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BARRED = (
    "aiohttp", "networkx", "onnx", "onnxscript", "opentelemetry", "psutil", "ray", "safetensors", "scipy", "starlette",
    "torch", "tritonclient", "uvicorn", "yaml",
)  # fmt: skip
"""What the extra `cluster` brings, and the extra `agent` does not."""
PROGRAM = f"""
import sys
sys.modules.update(dict.fromkeys({BARRED!r}))
from cluster.cli.main import main
main()
"""


@dataclass(frozen=True)
class Examined:
    """What the doctor said of a deployment, and its exit code."""

    code: int
    findings: Sequence[dict[str, Any]]
    text: str

    def one(self, check: str, subject: str = "") -> dict[str, Any]:
        """Give the one finding of a check about a point, or about the whole."""
        (found,) = [each for each in self.findings if (each["check"], each["subject"]) == (check, subject)]
        return found

    def all(self, check: str) -> list[dict[str, Any]]:
        return [each for each in self.findings if each["check"] == check]

    def verdicts(self, *but: str) -> dict[str, str]:
        """Give the worst verdict of each check, but of some."""
        order = ("skipped", "ok", "warn", "fail")
        worst: dict[str, str] = {}
        for each in self.findings:
            if each["check"] not in but:
                before = worst.get(each["check"], "skipped")
                worst[each["check"]] = max(before, each["verdict"], key=order.index)
        return worst


def examined(url: str, cache: Path, *words: str) -> Examined:
    """Run ``isthmus doctor URL --json``."""
    done = doctor(url, "--cache", str(cache), "--json", *words)
    assert done.stdout.startswith("{"), done.stderr
    plain = json.loads(done.stdout)
    assert plain["well"] == (done.returncode == 0)
    return Examined(done.returncode, plain["findings"], done.stdout + done.stderr)


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ISTHMUS_TOKEN"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "doctor", *words],
        capture_output=True, text=True, timeout=240, check=False, env=environment,
    )  # fmt: skip
