"""What all jobs of a grid have in common, and the training of one of them on this machine.

Owns where a job's state and features lie. Crosses to the nodes of a cluster, so its paths mean the same on each.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from cluster.backbones.backbone import Backbone
from cluster.training.feature_turn import feature_turn
from cluster.training.grid import GridJob
from cluster.training.pictures import find_pictures
from cluster.training.plan import TrainingPlan
from cluster.training.progress import Listener
from cluster.training.trainer import TrainingFolders, train_codec
from wire.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """How every job is trained, from which pictures, and in which folders, which are absolute."""

    plan: TrainingPlan
    data: Path
    runs: Path
    """Each job's state lies in a folder of its own below."""
    features: Path
    recompute: bool = False
    more_points: tuple[str, ...] = ()
    """Computed in the same pass as a job's own features."""

    def train(
        self, job: GridJob, backbone: Backbone, *, weights: Path, device: torch.device, listener: Listener
    ) -> Path:
        """Train one job and write its weights file below ``weights``.

        Raises:
            UnknownPoint, SettingError, DataError, CheckpointError: as ``train_codec`` does.
        """
        keeps_features = job.learns and not self.recompute
        turn = feature_turn(self.features, listener) if keeps_features else nullcontext(listener)
        with turn as heard:
            return train_codec(
                backbone,
                job.key,
                self.plan,
                pictures=find_pictures(self.data),
                folders=TrainingFolders(run=self.runs / job.folder, features=self.features, weights=weights),
                device=device,
                listener=heard,
                recompute=self.recompute,
                more_points=self.more_points,
            )


def training_device(name: str) -> torch.device:
    """Choose the device of this machine: ``auto`` is CUDA where there is one.

    Raises:
        SettingError: it is none that this machine has.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        raise SettingError(f"{name!r} is no device to train on: {error}", mend="give auto, cpu or cuda") from error
    return device
