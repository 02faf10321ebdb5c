"""Training of one codec at one point, by distillation from the backbone itself; no label is needed.

Owns the two phases and their order: first the restored features shall equal the head's, then the tail's answer to
them shall equal the backbone's. Draws nothing on a screen: it tells a listener.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.registry import Backbone
from cluster.codecs.bottlenet import LEVELS, BottleNet, BottleNetSetting
from cluster.codecs.weights import CodecKey, save_codec
from cluster.points import Cuts
from cluster.training.checkpoint import load_checkpoint, save_checkpoint
from cluster.training.features import Features, compute_features

TABLE_TOTAL: Final = 60_000
HELD_OUT: Final = 16
"""One row in this many is kept from training, for the agreement that the progress bar shows."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How long and how hard to train; ``reconstruct_epochs`` + ``distil_epochs`` epochs in all."""

    reconstruct_epochs: int = 4
    distil_epochs: int = 12
    views: int = 2
    batch: int = 32
    learning_rate: float = 3e-3
    temperature: float = 2.0
    feature_weight: float = 1.0
    logit_weight: float = 2.0
    clip: float | None = None
    """Greatest norm of a gradient; a shallow point's, which comes through the whole tail, needs one."""
    seed: int = 0

    @property
    def epochs(self) -> int:
        """How many epochs both phases have together."""
        return self.reconstruct_epochs + self.distil_epochs


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: ``loss`` is that of the phase, ``bytes`` an entropy estimate of one frame."""

    stage: str
    step: int
    steps: int
    loss: float = float("nan")
    bytes: float = float("nan")
    agreement: float = float("nan")


Listener = Callable[[Progress], None]


def train_codec(
    backbone: Backbone,
    point: str,
    setting: BottleNetSetting,
    plan: TrainingPlan,
    *,
    pictures: list[Path],
    run_folder: Path,
    weights_folder: Path,
    device: torch.device,
    listener: Listener,
) -> Path:
    """Train one codec and write its weights; a run that was stopped goes on from its last epoch.

    Raises:
        UnknownPoint, SettingError, DataError: what was asked for does not exist or does not fit.
        CheckpointError: the run folder holds another run, or a file cannot be written.
    """
    torch.manual_seed(plan.seed)
    cuts = Cuts(backbone.module, backbone.example())
    shape = cuts.point(point).shape
    key = CodecKey(backbone.name, point, "bottlenet", str(setting))
    codec = BottleNet(shape, setting).to(device)
    head, tail = (fuse(half).requires_grad_(requires_grad=False).to(device) for half in cuts.split(point))
    rows = 0

    def on_rows(more: int) -> None:
        nonlocal rows
        rows += more
        listener(Progress("features", rows, len(pictures) * plan.views))

    features = compute_features(
        backbone, head, tail, pictures,
        point=point, views=plan.views, seed=plan.seed, folder=run_folder, device=device, on_rows=on_rows,
    )  # fmt: skip
    _Training(codec, tail, features, plan, key, run_folder, device, listener).run()
    tables = frequency_tables(codec, features, device)
    return save_codec(weights_folder, key, codec.cpu(), tables)


class _Training:
    def __init__(
        self,
        codec: BottleNet,
        tail: nn.Module,
        features: Features,
        plan: TrainingPlan,
        key: CodecKey,
        run_folder: Path,
        device: torch.device,
        listener: Listener,
    ) -> None:
        self.codec, self.tail, self.features, self.plan = codec, tail, features, plan
        self.run_folder, self.device, self.listener = run_folder, device, listener
        self.identity = json.dumps({"plan": asdict(plan), "key": asdict(key)}, sort_keys=True)
        self.optimizer = torch.optim.AdamW(codec.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
        every = np.arange(len(features))
        self.held_out = every[::HELD_OUT]
        self.rows = np.setdiff1d(every, self.held_out)
        self.steps = -(-len(self.rows) // plan.batch) * plan.epochs
        sample, _ = next(features.batches(self.held_out, 256, device))
        self.scale = sample.var().clamp(min=1e-6)
        self.agreement = float("nan")

    def run(self) -> None:
        first = load_checkpoint(self.run_folder, self.identity, self.codec, self.optimizer)
        for epoch in range(first, self.plan.epochs):
            self._epoch(epoch)
            self.agreement = self._agreement()
            save_checkpoint(self.run_folder, self.identity, self.codec, self.optimizer, epoch + 1)

    def _epoch(self, epoch: int) -> None:
        plan = self.plan
        distilling = epoch >= plan.reconstruct_epochs
        self.codec.train()
        # The ranges settle while features are learned and in the first half of the distillation; then they hold.
        self.codec.encoder.tracks_range = epoch < plan.reconstruct_epochs + plan.distil_epochs // 2
        rows = np.random.default_rng((plan.seed, epoch)).permutation(self.rows)
        per_epoch = self.steps // plan.epochs
        for index, (features, logits) in enumerate(self.features.batches(rows, plan.batch, self.device)):
            step = epoch * per_epoch + index
            for group in self.optimizer.param_groups:
                group["lr"] = _learning_rate(plan, step, self.steps)
            levels = self.codec.encoder.quantised(features)
            restored = self.codec.decoder.restore(levels)
            loss = F.mse_loss(restored, features) / self.scale
            if distilling:
                loss = plan.feature_weight * loss + _distillation(self.tail(restored), logits, plan)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if plan.clip is not None:
                nn.utils.clip_grad_norm_(self.codec.parameters(), plan.clip)
            self.optimizer.step()
            stage = "distil" if distilling else "reconstruct"
            if index % 10 == 0:
                estimate = entropy_bytes(levels.detach())
                self.listener(Progress(stage, step + 1, self.steps, loss.item(), estimate, self.agreement))

    def _agreement(self) -> float:
        self.codec.eval()
        same = 0
        with torch.inference_mode():
            for features, logits in self.features.batches(self.held_out, self.plan.batch, self.device):
                same += int((self.tail(self.codec(features)).argmax(1) == logits.argmax(1)).sum())
        return same / len(self.held_out)


def _distillation(student: Tensor, teacher: Tensor, plan: TrainingPlan) -> Tensor:
    """Compare two (N, classes) logits: softened answers (Hinton, Vinyals and Dean, 2015), and every logit.

    The training pictures show few of the classes; the squared error of all logits keeps what tells the rest apart.
    """
    wanted = F.softmax(teacher / plan.temperature, dim=1)
    given = F.log_softmax(student / plan.temperature, dim=1)
    softened = F.kl_div(given, wanted, reduction="batchmean") * plan.temperature**2
    return softened + plan.logit_weight * F.mse_loss(student, teacher) / teacher.var()


def _learning_rate(plan: TrainingPlan, step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 100)
    return plan.learning_rate * warm * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


def entropy_bytes(levels: Tensor) -> float:
    """Estimate the bytes of one frame from the zero-order entropy of its channels; ``levels`` is (N, c′, h, w)."""
    bits = 0.0
    for channel in levels.round().clamp(0, LEVELS - 1).to(torch.int64).unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=LEVELS).float()
        share = counts[counts > 0] / counts.sum()
        bits += float(-(share * share.log2()).sum()) * channel[0].numel()
    return bits / 8


def frequency_tables(codec: BottleNet, features: Features, device: torch.device) -> NDArray[np.uint16]:
    """Count the symbols of every channel over the training rows: uint16 (c′, 256), no entry zero."""
    codec.eval()
    channels = codec.symbol_shape[0]
    counts = np.zeros((channels, LEVELS), np.int64)
    with torch.inference_mode():
        for batch, _ in features.batches(np.arange(len(features)), 64, device):
            symbols = codec.encoder(batch).cpu().numpy()
            for channel in range(channels):
                counts[channel] += np.bincount(symbols[:, channel].ravel(), minlength=LEVELS)
    scaled = counts * TABLE_TOTAL // counts.sum(axis=1, keepdims=True)
    return np.maximum(scaled, 1).astype(np.uint16)
