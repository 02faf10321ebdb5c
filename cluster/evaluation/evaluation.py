"""The evaluation of a bundle: every option against labelled pictures and against the unsplit backbone.

Owns the order of the work: one device graph after the other, so that only its graphs and one chunk of frames are in
memory. Building a bundle measures with the same code.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.evaluation.accuracy import Answers, measured, right_shares
from cluster.evaluation.frames import EvaluationFrames
from cluster.evaluation.option_figures import OptionFigures, option_figures
from cluster.evaluation.option_group import OptionGroup
from cluster.evaluation.selection import Selection
from cluster.evaluation.timing import SAMPLE, timings
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.manifest import Measured, Option

UNSPLIT: Final = "unsplit backbone"


@dataclass(frozen=True, slots=True)
class Progress:
    """``frames`` more were answered by ``option``; ``done`` of ``total`` answers are there."""

    option: str
    frames: int
    done: int
    total: int


Listener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the options of one bundle do on one evaluation set; shares lie between 0 and 1.

    The baseline is the unsplit backbone. Times are of the machine that evaluated.
    """

    backbone: str
    digest: str
    dataset: str
    pictures: int
    baseline_top1: float
    baseline_top5: float
    options: tuple[OptionFigures, ...]


def evaluate_bundle(
    bundle: Path, data: Path, *, pictures: int | None = None, only: Sequence[str] = (), listener: Listener
) -> Evaluation:
    """Evaluate the bundle in a folder on the labelled pictures of another; with ``pictures``, on so many of them.

    ``only`` names options as ``Selection`` reads them.

    Raises:
        BundleError: there is no bundle, or it cannot be used.
        DataError: the folder is no evaluation set of its backbone, or a picture does not decode.
        SettingError: ``only`` names no option.
    """
    evaluator = Evaluator(bundle, data, pictures=pictures, listener=listener)
    manifest = evaluator.bundle.manifest
    selection = Selection(only)
    selection.check((option.point, option.codec, option.rate) for option in manifest.options)
    chosen = [option for option in manifest.options if selection.takes(option.point, option.codec, option.rate)]
    figures = evaluator.figures(chosen)
    top1, top5 = evaluator.baseline
    return Evaluation(
        manifest.backbone, evaluator.bundle.digest, evaluator.frames.dataset, len(evaluator.frames), top1, top5, figures
    )


class Evaluator:
    """Runs the options of one bundle on one evaluation set."""

    def __init__(self, bundle: Path, data: Path, *, pictures: int | None = None, listener: Listener) -> None:
        """Open both sides of a bundle, and find the pictures.

        Raises:
            BundleError: there is no bundle, or it cannot be used.
            DataError: the folder is no evaluation set of its backbone.
        """
        self.bundle = Bundle.open(bundle, "cluster")
        self._device = Bundle.open(bundle, "device")
        classes = len(self.bundle.labels())
        self.frames = EvaluationFrames(data, self.bundle.manifest.input, classes=classes, pictures=pictures)
        self._listener = listener
        self._unsplit: Answers | None = None
        self._done = self._total = 0

    @property
    def baseline(self) -> tuple[float, float]:
        """Top-1 and top-5 of the unsplit backbone, as shares."""
        return right_shares(self._unsplit_answers(), self.frames.labels)

    def measured(self, options: Sequence[Option]) -> list[Measured]:
        """Give accuracy and bytes of options, in their order."""
        self._begin(options)
        by_id = {
            option.id: figures
            for group in self._groups(options)
            for option, figures in zip(group.options, self._measured(group), strict=True)
        }
        return [by_id[option.id] for option in options]

    def figures(self, options: Sequence[Option]) -> tuple[OptionFigures, ...]:
        """Give accuracy, bytes, work and times of options, in their order."""
        self._begin(options)
        sample = self.frames.sample(SAMPLE)
        every = self.bundle.manifest.options
        whole_macs = max(option.macs.head + option.macs.tail for option in every)
        by_id = {
            option.id: option_figures(option, figures, timing, whole_macs=whole_macs)
            for group in self._groups(options)
            for option, figures, timing in zip(
                group.options, self._measured(group), timings(group, sample), strict=True
            )
        }
        return tuple(by_id[option.id] for option in options)

    def _begin(self, options: Sequence[Option]) -> None:
        self._done, self._total = 0, len(self.frames) * (1 + len(options))

    def _groups(self, options: Sequence[Option]) -> Iterator[OptionGroup]:
        """Load the options of one device graph after those of another."""
        for graph in dict.fromkeys(option.device_graph for option in options):
            sharing = [option for option in options if option.device_graph == graph]
            yield OptionGroup.load(sharing, self._device, self.bundle)

    def _measured(self, group: OptionGroup) -> list[Measured]:
        unsplit = self._unsplit_answers()
        if group.options == (self._unsplit_option(),):
            self._tell(_name(group.options[0]), len(self.frames))
            every = [unsplit]
        else:
            every = self._answers(group, [_name(option) for option in group.options])
        return [measured(given, unsplit, self.frames.labels, dataset=self.frames.dataset) for given in every]

    def _unsplit_answers(self) -> Answers:
        if self._unsplit is None:
            option = self._unsplit_option()
            (self._unsplit,) = self._answers(OptionGroup.load([option], self._device, self.bundle), [UNSPLIT])
        return self._unsplit

    def _unsplit_option(self) -> Option:
        for option in self.bundle.manifest.options:
            if option.coder == "none":
                return option
        raise BundleError(
            f"the bundle {self.bundle.digest[:12]} has no option at the output, and so no unsplit backbone",
            mend="build the bundle again: isthmus bundle build",
        )

    def _answers(self, group: OptionGroup, names: Sequence[str]) -> list[Answers]:
        parts: list[list[Answers]] = [[] for _ in names]
        for chunk in self.frames.chunks():
            for own, name, given in zip(parts, names, group.answers(chunk), strict=True):
                own.append(given)
                self._tell(name, len(chunk))
        return [Answers.joined(own) for own in parts]

    def _tell(self, option: str, frames: int) -> None:
        self._done += frames
        self._listener(Progress(option, frames, self._done, self._total))


def _name(option: Option) -> str:
    return f"{option.point} {option.codec} {option.rate}"
