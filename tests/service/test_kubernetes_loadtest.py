"""The Job of ``k8s/loadtest``, run as a process: its arguments and variables are what Locust and our users take."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunningCluster, agent

from cluster.kubernetes.render import render_folder
from loadtests.clips import clip_path

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

ROOT = Path(__file__).parents[2]
# Locust's time runs while the agents are made ready, which takes a busy machine a while.
SHORT = {"LOCUST_RUN_TIME": "45s", "LOCUST_USERS": "3", "LOCUST_SPAWN_RATE": "3", "ISTHMUS_BACKGROUND_USERS": "1"}
RUN_TIMEOUT_S = 150.0


def test_the_job_puts_agents_and_background_traffic_on_a_cluster(cluster: RunningCluster, cache: Path) -> None:
    command = agent("--server", cluster.url, "--source", str(clip_path("bikes")), "--cache", str(cache))
    subprocess.run([*command, "--frames", "1", "--json"], check=True, capture_output=True, timeout=RUN_TIMEOUT_S)
    objects = render_folder(ROOT / "k8s" / "loadtest")
    (job,) = [plain for plain in objects if plain["kind"] == "Job"]
    (told,) = [plain["data"] for plain in objects if plain["kind"] == "ConfigMap"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    # The image names the locustfile; a cluster on loopback asks for no token.
    ours = {"LOCUST_HOST": cluster.url, "LOCUST_LOCUSTFILE": "loadtests/locustfile.py", "ISTHMUS_CACHE": str(cache)}
    variables = told | SHORT | ours
    args = [re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], word) for word in container["args"]]
    done = subprocess.run(
        [sys.executable, "-m", "locust", *args],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1), said  # 1 where a deadline was missed, as a busy machine may
    assert re.search(r"^(cluster|device) +\S+/\S+ +[1-9]", said, re.MULTILINE), said
    assert re.search(r"^background +\w+ at 5 Mbit/s +[1-9]", said, re.MULTILINE), said
