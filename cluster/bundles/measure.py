"""What an option does on labelled pictures: accuracy and real bytes, one frame at a time, as an agent would send it.

Owns the measurement. It runs the bundle's own graphs and bitstreams, not the training modules.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cluster.backbones.registry import FrameFormat
from cluster.onnx_graph import Graph
from cluster.pictures import centre_crop, open_picture
from cluster.training.pictures import LabelledPicture
from wire.codings import Coding
from wire.manifest import Measured
from wire.tensor_form import Tensor

TOP: Final = 5

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One frame, uint8 (H, W, 3), and its true class."""

    pixels: Pixels
    label: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The classes an option gives for a frame, best first and at most ``TOP``, and the bytes it sent."""

    labels: tuple[int, ...]
    bytes: int


def frames(pictures: list[LabelledPicture], frame: FrameFormat) -> Iterator[Labelled]:
    """Decode and crop each picture of an evaluation set."""
    for picture in pictures:
        pixels = centre_crop(open_picture(picture.path), resize=frame.resize, height=frame.height, width=frame.width)
        yield Labelled(pixels, picture.label)


def answer_whole(graph: Graph) -> Callable[[Pixels], Answer]:
    """Answer with the unsplit backbone; nothing is sent."""
    return lambda pixels: Answer(_best(graph, pixels), 0)


def answer_sent(coding: Coding, cluster: Graph, *, device: Graph | None = None) -> Callable[[Pixels], Answer]:
    """Answer through a real bitstream of what ``device`` gives; without it, of the frame's own pixels."""

    def answer(pixels: Pixels) -> Answer:
        bitstream = coding.encode(pixels if device is None else device.run(pixels[None])[0])
        return Answer(_best(cluster, coding.decode(bitstream)), len(bitstream))

    return answer


def measure(
    answer: Callable[[Pixels], Answer],
    labelled: Iterable[Labelled],
    *,
    dataset: str,
    whole: Iterable[Answer],
    on_frame: Callable[[], None],
) -> Measured:
    """Compare an option with the truth and with ``whole``, what the unsplit backbone says of the same frames."""
    right = np.zeros(2, int)  # among the first one, and among the first five
    lost = np.zeros(2, int)
    same = 0
    sizes: list[int] = []
    for frame, unsplit in zip(labelled, whole, strict=True):
        given = answer(frame.pixels)
        hits = _hits(given, frame.label)
        right += hits
        lost += _hits(unsplit, frame.label) - hits
        same += given.labels[0] == unsplit.labels[0]
        sizes.append(given.bytes)
        on_frame()
    count = len(sizes)
    top1, top5 = (right / count).tolist()
    top1_drop, top5_drop = (lost / count).tolist()
    return Measured(
        dataset=dataset,
        pictures=count,
        top1=top1,
        top1_drop=top1_drop,
        top5=top5,
        top5_drop=top5_drop,
        agreement=same / count,
        bytes_mean=float(np.mean(sizes)),
        bytes_p95=float(np.percentile(sizes, 95)),
    )


def _hits(answer: Answer, label: int) -> NDArray[np.int_]:
    return np.array([answer.labels[0] == label, label in answer.labels], int)


def _best(graph: Graph, tensor: Tensor) -> tuple[int, ...]:
    scores = graph.run(tensor[None])[0]
    return tuple(np.argsort(-scores, kind="stable")[:TOP].tolist())
