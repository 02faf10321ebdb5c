"""The head runtime: a frame in, a bitstream or the device's own answer out; blocking, for one thread."""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from device_agent.graph_sessions import GraphSessions, as_symbols
from device_agent.sources import Pixels
from wire.bitstream import encode_symbols, wrap_jpeg
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import OptionId
from wire.manifest import Option

TOP: Final = 5

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One frame ready to be sent, and the seconds that head and entropy coder took.

    ``device_s`` is what the head takes once it is warm; ``warm_s`` came on top, the first time only.
    """

    bitstream: bytes
    device_s: float
    code_s: float
    warm_s: float


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """The device's own answer: class indices and scores, best first, and the seconds it took."""

    labels: tuple[int, ...]
    scores: tuple[float, ...]
    device_s: float
    warm_s: float


class HeadRuntime:
    """Runs the device's half of every option of a bundle.

    With ``slowdown`` above 1 it emulates a slower device: a run ends no sooner than ``slowdown`` × the
    profiled seconds after it began. ``profile_s`` holds the profiled seconds by option. ``optimised`` is the
    folder for optimised graphs.
    """

    def __init__(self, bundle: Bundle, *, threads: int, slowdown: float = 1.0, optimised: Path | None = None) -> None:
        self.bundle = bundle
        self.local = _local_option(bundle)
        self.profile_s: Mapping[OptionId, float] = {}
        self._slowdown = slowdown
        self._ready: set[OptionId] = set()
        self._sessions = GraphSessions(bundle, threads=threads, optimised=optimised)

    def encode(self, option: Option, pixels: Pixels) -> Encoded:
        """Turn uint8 (1, H, W, 3) into the bitstream of an option that sends; raises BundleError."""
        warm_s = self._warm(option, pixels)
        if option.coder == "jpeg":
            jpeg, device_s = self._timed(option, lambda: _jpeg(option, pixels))
            begun_s = time.perf_counter()
            bitstream = wrap_jpeg(option.id, (3, pixels.shape[1], pixels.shape[2]), jpeg)
        else:
            output, device_s = self._timed(option, lambda: self._sessions.run(_graph(option), pixels))
            begun_s = time.perf_counter()
            bitstream = self._code(option, as_symbols(output))
        return Encoded(bitstream, device_s, time.perf_counter() - begun_s, warm_s)

    def answer(self, pixels: Pixels) -> LocalAnswer:
        """Run the whole network on uint8 (1, H, W, 3); raises BundleError."""
        warm_s = self._warm(self.local, pixels)
        output, device_s = self._timed(self.local, lambda: self._sessions.run(_graph(self.local), pixels))
        probabilities = np.asarray(output, np.float32).reshape(-1)
        best = np.argsort(probabilities)[::-1][:TOP]
        return LocalAnswer(
            tuple(int(index) for index in best),
            tuple(float(probabilities[index]) for index in best),
            device_s,
            warm_s,
        )

    def prepare_local(self) -> None:
        """Have the device's own answer at hand, without yet taking the memory for its weights."""
        self._sessions.prepare(_graph(self.local))

    def warm(self, option: Option, pixels: Pixels) -> None:
        """Make an option ready, so that its first frame is as fast as its second."""
        self._warm(option, pixels)

    def _warm(self, option: Option, pixels: Pixels) -> float:
        """Give the seconds that it took, and exactly 0 if the option was ready."""
        if option.id in self._ready:
            return 0.0
        begun_s = time.perf_counter()
        if option.device_graph is not None:
            self._sessions.prepare(option.device_graph)
            self._sessions.run(option.device_graph, pixels)
        if option.coder == "huffman":
            self.bundle.coder(option)
        elif option.coder == "jpeg":
            _jpeg(option, pixels)
        self._ready.add(option.id)
        return time.perf_counter() - begun_s

    def _timed(self, option: Option, run: Callable[[], Made]) -> tuple[Made, float]:
        begun_s = time.perf_counter()
        made = run()
        if self._slowdown > 1:
            left_s = self._slowdown * self.profile_s.get(option.id, 0.0) - (time.perf_counter() - begun_s)
            time.sleep(max(left_s, 0.0))
        return made, time.perf_counter() - begun_s

    def _code(self, option: Option, symbols: Pixels) -> bytes:
        try:
            return encode_symbols(option.id, symbols, self.bundle.coder(option))
        except ValueError as error:
            raise BundleError(
                f"the graph and the tables of option {option.id} do not fit: {error}", mend="make the bundle again"
            ) from error


def _local_option(bundle: Bundle) -> Option:
    for option in bundle.manifest.options:
        if option.coder == "none":
            return option
    raise BundleError(
        "the bundle has no option at the point 'output', so no frame could be answered without the cluster",
        mend="make the bundle again with the point 'output'",
    )


def _graph(option: Option) -> str:
    if option.device_graph is None:
        raise BundleError(f"option {option.id} has no device graph", mend="make the bundle again")
    return option.device_graph


def _jpeg(option: Option, pixels: Pixels) -> bytes:
    # Only devices that send pictures need Pillow in memory.
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[0]).save(file, "JPEG", quality=option.jpeg_quality or 75)
    return file.getvalue()
