"""What the tests of the cluster share: Lite0 built once, and a toy backbone with pictures, a codec and a bundle."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cluster.backbones.registry import Backbone, FrameFormat, load_backbone
from cluster.bundles.builder import BundleBuilder
from cluster.codecs.weights import CodecKey
from cluster.points import Cuts
from cluster.training.plan import TrainingPlan
from cluster.training.progress import Progress
from cluster.training.trainer import TrainingFolders, train_codec

SIDE = 32
LABELS = ("ant", "bee", "cat", "dog")
PICTURES = 8


class ToyNet(nn.Module):
    """(N, 3, 32, 32) to (N, 4) logits, through a residual unit."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.unit = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(8, len(LABELS))

    def forward(self, x):
        x = self.stem(x)
        x = x + self.unit(x)
        return self.fc(self.flatten(self.pool(x)))


@dataclass
class Trained:
    """A weights folder with the toy's codec, and what its training told the listener."""

    weights: Path
    progress: list[Progress]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lite0():
    return load_backbone("efficientnet-lite0")


@pytest.fixture(scope="session")
def lite0_cuts(lite0):
    return Cuts(lite0.module, lite0.example())


@pytest.fixture(scope="session")
def toy():
    random = torch.Generator().manual_seed(5)
    module = ToyNet().eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=random) / 2)
    frame = FrameFormat(SIDE, SIDE, SIDE, mean=(127.0,) * 3, scale=(128.0,) * 3)
    return Backbone("toy", module, frame, LABELS)


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """An evaluation set of eight pictures of coloured blocks, 0.png to 7.png, of several sizes."""
    folder = tmp_path_factory.mktemp("toy-eval")
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    rows = ["file,label"]
    for number in range(PICTURES):
        blocks = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(blocks).resize((48 + number, 40 + number), Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{number}.png")
        rows.append(f"{number}.png,{number % len(LABELS)}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pictures(labelled):
    return sorted((labelled / "images").iterdir())


@pytest.fixture(scope="session")
def train(toy, pictures):
    """Train a codec of the toy below a folder; gives its weights file."""

    def run(
        folder,
        *,
        plan=TrainingPlan(),  # noqa: B008 - frozen
        point="stem",
        codec="bottlenet",
        setting="c4-s2",
        paths=pictures,
        listener=lambda progress: None,
        recompute=False,
    ):
        return train_codec(
            toy,
            CodecKey("toy", point, codec, setting),
            plan,
            pictures=paths,
            folders=TrainingFolders(folder / "run", folder / "features", folder / "weights"),
            device=torch.device("cpu"),
            listener=listener,
            recompute=recompute,
        )

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, train):
    folder = tmp_path_factory.mktemp("trained")
    progress = []
    plan = TrainingPlan(reconstruct_epochs=8, distil_epochs=4, views=4, batch=8, learning_rate=0.03)
    train(folder, plan=plan, listener=progress.append)
    return Trained(folder / "weights", progress)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, toy, trained, labelled):
    """The toy's bundle of Huffman codes, measured on its evaluation set; the figures lie beside its weights."""
    builder = BundleBuilder(toy, trained.weights, listener=lambda *_: None)
    out = tmp_path_factory.mktemp("bundles") / "toy"
    return builder.build(out, data=labelled, only=["stem/bottlenet/c4-s2"])
