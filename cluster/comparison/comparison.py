"""The whole comparison: find the codecs, calibrate what is not there, build bundles, and measure every option of them.

Owns the order of the work. Every figure comes from a bundle's own graphs and real bitstreams.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.backbones.backbone import Backbone
from cluster.codecs.weights import CodecKey
from cluster.comparison.bundles import BundleShelf, files_of, note
from cluster.comparison.calibration import calibrate
from cluster.comparison.members import INPUTS, SENSING, Members, find_members
from cluster.comparison.rows import Row, Side, side_of
from cluster.comparison.zero_rate import Pixels, ZeroRate, point_behind_activation, zero_rates
from cluster.evaluation.evaluation import Evaluation, Progress, evaluate_bundle
from cluster.evaluation.frames import EvaluationFrames
from cluster.points import Cuts
from cluster.training.pictures import find_labelled, find_pictures
from wire.manifest import Input

SLOW_PICTURES: Final = 200
"""What iterates on the cluster, and what lies at none of our cuts, is measured on no more; its rows say so."""
ZERO_PICTURES: Final = 32
_SIDES: Final[tuple[Side, ...]] = ("unsplit", "ours", "paper", "baseline", "picture")

Listener = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much; of nothing where that is not known."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What every option did; the baselines are of the unsplit backbone, shares between 0 and 1."""

    backbone: str
    dataset: str
    pictures: int
    baseline_top1: float
    baseline_top5: float
    rows: tuple[Row, ...]
    zeros: tuple[ZeroRate, ...]
    missing: tuple[CodecKey, ...]


@dataclass(frozen=True, slots=True)
class Comparer:
    """Where the comparison finds what it needs, and the ``folder`` in which it keeps what it makes."""

    backbone: Backbone
    data: Path
    """The labelled pictures to measure on."""
    training: Path
    """The pictures to calibrate on."""
    weights: Path
    rivals: Path
    folder: Path
    listener: Listener

    def run(self, *, pictures: int | None = None) -> Comparison:
        """Compare on so many pictures, evenly spread, or on all.

        Raises:
            CheckpointError: nothing of ours is trained or measured, or a file does not fit.
            DataError: a folder of pictures is not what it has to be.
        """
        find_labelled(self.data)
        found = find_pictures(self.training)
        self.listener("looking for cuts", 0, 0)
        cuts = Cuts(self.backbone.module, self.backbone.example())
        frames = self._frames(ZERO_PICTURES)
        members = self._members(cuts, frames)
        calibrated = self.folder / "calibrated"
        calibrate(
            self.backbone, cuts, members.calibrated, pictures=found, weights=calibrated, listener=self.listener
        )  # fmt: skip
        self.listener("counting zeros", 0, 0)
        png_points = [key.point for key in members.calibrated if key.codec == "jointdnn"]
        zeros = tuple(zero_rates(self.backbone, cuts, png_points, frames))
        first, *others = self._evaluations(members, calibrated, pictures)
        rows = [*_rows(first), *(row for each in others for row in _rows(each) if row.side != "unsplit")]
        rows.sort(key=lambda row: (_SIDES.index(row.side), row.figures.codec, row.figures.device_share))
        return Comparison(
            first.backbone, first.dataset, first.pictures, first.baseline_top1, first.baseline_top5, tuple(rows),
            zeros, members.missing,
        )  # fmt: skip

    def _members(self, cuts: Cuts, frames: Pixels) -> Members:
        def found(activation: str | None) -> Members:
            return find_members(
                cuts, self.backbone.name, weights=self.weights, rivals=self.rivals, activation=activation
            )  # fmt: skip

        return found(point_behind_activation(self.backbone, cuts, found(None).points, frames[:4]))

    def _evaluations(self, members: Members, calibrated: Path, pictures: int | None) -> Sequence[Evaluation]:
        """Measure ours first, and what is slow by itself."""
        shelf = BundleShelf(self.folder / "bundles", self.backbone, listener=self.listener)
        slow = [key for key in members.calibrated if key.codec == SENSING or key.point not in members.points]
        quick = [key for key in members.calibrated if key not in slow]
        few = min(SLOW_PICTURES, pictures or SLOW_PICTURES)
        made = [self._evaluated(shelf.recorded("ours", self.weights), pictures)]
        for name, keys, weights, inputs, most in (
            ("rivals", members.rivals, self.rivals, (), pictures),
            ("calibrated", quick, calibrated, INPUTS, pictures),
            ("slow", slow, calibrated, (), few),
        ):
            if keys:
                place = shelf.gathered(name, files_of(keys, weights), self.data, inputs=inputs)
                evaluation = self._evaluated(place, most)
                note(place, evaluation)
                made.append(evaluation)
        return made

    def _evaluated(self, bundle: Path, pictures: int | None) -> Evaluation:
        def show(progress: Progress) -> None:
            self.listener(f"measure {progress.option}", progress.done, progress.total)

        return evaluate_bundle(bundle, self.data, pictures=pictures, listener=show)

    def _frames(self, count: int) -> Pixels:
        frame = self.backbone.frame
        size = Input(frame.height, frame.width, frame.resize)
        return EvaluationFrames(self.data, size, classes=len(self.backbone.labels)).sample(count)


def _rows(evaluation: Evaluation) -> list[Row]:
    return [Row(side_of(figures), evaluation.pictures, figures) for figures in evaluation.options]
