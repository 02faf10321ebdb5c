"""`isthmus train --on ray`, with a cluster of its own that it starts and stops, and a tiny network of the user's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

pytestmark = pytest.mark.service

NETWORK = '''
"""A tiny network, whose first loading in a worker process of Ray kills that process."""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from cluster.backbones.backbone import Backbone, FrameFormat


def network():
    mark = Path(os.environ["KILLED_ONCE"])
    if "ray" in sys.modules and sys.modules["ray"].is_initialized() and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 2, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    frame = FrameFormat(32, 32, 32, mean=(127.0,) * 3, scale=(128.0,) * 3)
    return Backbone("tiny", nn.Sequential(*layers).eval(), frame, ("a", "b", "c", "d"))
'''
TRAIN = (
    "train", "--backbone", "tiny_network:network", "--point", "1", "--codec", "bottlenet", "--setting", "c2-s2,c4-s2",
    "--out", "weights", "--reconstruct-epochs", "1", "--distil-epochs", "1", "--on", "ray", "--ray-address", "local",
    "--json", "jobs.json",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny_network.py").write_text(NETWORK)
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path


def isthmus(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli.main", *words], cwd=folder, capture_output=True, encoding="utf-8",
        timeout=240, check=False,
        env={**os.environ, "KILLED_ONCE": str(folder / "killed"), "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def test_tasks_whose_process_is_killed_are_tried_again_and_one_that_fails_does_not_end_the_others(folder: Path) -> None:
    broken = folder / "runs" / "tiny" / "1.bottlenet-c2-s2"
    broken.mkdir(parents=True)
    (broken / "checkpoint.pt").write_bytes(b"half a file")
    before = set(_ray_processes())

    ended = isthmus(folder, *TRAIN, "--data", "pictures")

    assert ended.returncode == 1, ended.stderr
    assert (folder / "killed").exists()
    failed, trained = json.loads((folder / "jobs.json").read_text())["jobs"]
    assert failed["state"] == "failed"
    assert "damaged" in failed["error"]
    assert (trained["state"], trained["error"]) == ("trained", None)
    assert trained["bytes_estimate"] > 0
    assert [path.name for path in (folder / "weights" / "tiny").iterdir()] == ["1.bottlenet-c4-s2.safetensors"]
    assert "1 of 2 jobs failed" in ended.stdout
    assert set(_ray_processes()) <= before


def test_pictures_that_a_node_lacks_are_missed_before_anything_starts_and_the_node_is_named(folder: Path) -> None:
    ended = isthmus(folder, *TRAIN, "--data", "nowhere")

    assert ended.returncode == 27
    assert ended.stderr.startswith("isthmus: on the node ")
    assert "there is no folder" in ended.stderr
    assert not (folder / "jobs.json").exists()


def _ray_processes() -> list[int]:
    return [
        process.pid for process in psutil.process_iter(["name"]) if process.info["name"] in ("raylet", "gcs_server")
    ]
