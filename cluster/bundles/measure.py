"""What an option does on labelled pictures: accuracy and real bytes, one frame at a time, as an agent would send it.

Owns the measurement. It runs the bundle's own graphs and bitstreams, not the training modules.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cluster.backbones.registry import FrameFormat
from cluster.onnx_graph import Graph
from cluster.pictures import centre_crop, encode_jpeg, open_picture
from cluster.training.pictures import LabelledPicture
from wire.bitstream import decode_symbols, encode_symbols, unwrap_jpeg, wrap_jpeg
from wire.huffman import HuffmanCoder
from wire.ids import OptionId
from wire.manifest import Measured

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One frame, uint8 (H, W, 3), and its true class."""

    pixels: Pixels
    label: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The class an option gives for a frame, and the bytes it sent."""

    label: int
    bytes: int


def frames(pictures: list[LabelledPicture], frame: FrameFormat) -> Iterator[Labelled]:
    """Decode and crop each picture of an evaluation set."""
    for picture in pictures:
        pixels = centre_crop(open_picture(picture.path), resize=frame.resize, height=frame.height, width=frame.width)
        yield Labelled(pixels, picture.label)


def answer_whole(graph: Graph) -> Callable[[Pixels], Answer]:
    """Answer with the unsplit backbone; nothing is sent."""
    return lambda pixels: Answer(_best(graph, pixels), 0)


def answer_split(device: Graph, cluster: Graph, coder: HuffmanCoder) -> Callable[[Pixels], Answer]:
    """Answer through a codec: symbols become a real bitstream and come back from it."""

    def answer(pixels: Pixels) -> Answer:
        symbols = np.asarray(device.run(pixels[None])[0], np.uint8)
        channels, height, width = symbols.shape
        bitstream = encode_symbols(OptionId(0), symbols, coder)
        decoded = decode_symbols(bitstream, option_id=OptionId(0), shape=(channels, height, width), coder=coder)
        return Answer(_best(cluster, decoded), len(bitstream))

    return answer


def answer_jpeg(cluster: Graph, quality: int) -> Callable[[Pixels], Answer]:
    """Answer from a JPEG of the whole frame."""

    def answer(pixels: Pixels) -> Answer:
        shape = (3, pixels.shape[0], pixels.shape[1])
        bitstream = wrap_jpeg(OptionId(0), shape, encode_jpeg(pixels, quality))
        jpeg = unwrap_jpeg(bitstream, option_id=OptionId(0), shape=shape)
        picture = np.asarray(open_picture(io.BytesIO(jpeg)))
        return Answer(_best(cluster, picture), len(bitstream))

    return answer


def measure(
    answer: Callable[[Pixels], Answer],
    labelled: Iterable[Labelled],
    *,
    dataset: str,
    whole: list[int],
    on_frame: Callable[[], None],
) -> Measured:
    """Compare an option with the truth and with ``whole``, what the unsplit backbone says of the same frames."""
    right, same, truth = 0, 0, 0
    sizes: list[int] = []
    for frame, unsplit in zip(labelled, whole, strict=True):
        given = answer(frame.pixels)
        right += given.label == frame.label
        truth += unsplit == frame.label
        same += given.label == unsplit
        sizes.append(given.bytes)
        on_frame()
    count = len(sizes)
    return Measured(
        dataset=dataset,
        pictures=count,
        top1=right / count,
        top1_drop=(truth - right) / count,
        agreement=same / count,
        bytes_mean=float(np.mean(sizes)),
        bytes_p95=float(np.percentile(sizes, 95)),
    )


def _best(graph: Graph, batch: Pixels) -> int:
    return int(graph.run(batch if batch.ndim == 4 else batch[None])[0].argmax())
