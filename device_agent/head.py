"""The head runtime: a frame in, a bitstream or the device's own answer out; blocking, for one thread."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from device_agent.graph_sessions import GraphSessions
from device_agent.run_stop import RunStop, RunStopped
from device_agent.sources import Pixels
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import OptionId
from wire.manifest import Option
from wire.tensor_form import Tensor

TOP: Final = 5

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One frame ready to be sent, and the seconds that head and coder took.

    ``device_s`` is what the head takes once it is warm, or the coder where there is no head; ``code_s`` is the coder
    behind a head, and ``warm_s`` came on top, the first time only. ``symbols`` is what the head gave, as the option's
    form has it, to be coded again; None where there is no head.
    """

    bitstream: bytes
    device_s: float
    code_s: float
    warm_s: float
    symbols: Tensor | None


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
        self.local = local_option(bundle)
        self.profile_s: Mapping[OptionId, float] = {}
        self._slowdown = slowdown
        self._ready: set[OptionId] = set()
        self._warm_graphs: set[str] = set()
        self._sessions = GraphSessions(bundle, threads=threads, optimised=optimised)

    def encode(self, option: Option, pixels: Pixels) -> Encoded:
        """Turn uint8 (1, H, W, 3) into the bitstream of an option that sends; raises BundleError."""
        warm_s = self._warm(option, pixels)
        if option.device_graph is None:
            bitstream, device_s = self._timed(option, lambda: self._code(option, pixels[0]))
            return Encoded(bitstream, device_s, 0.0, warm_s, None)
        graph = option.device_graph
        output, device_s = self._timed(option, lambda: self._sessions.run(graph, pixels))
        begun_s = time.perf_counter()
        bitstream = self._code(option, output)
        return Encoded(bitstream, device_s, time.perf_counter() - begun_s, warm_s, output)

    def refine(self, option: Option, encoded: Encoded, look: int) -> Encoded:
        """Code a further look at a frame, from 1 on; the head does not run again; raises BundleError."""
        assert encoded.symbols is not None, "the manifest was checked: an option with refinements has a head"
        begun_s = time.perf_counter()
        coding, symbols = self.bundle.refinements(option)[look - 1], encoded.symbols
        bitstream = _coded(option, lambda: coding.encode(symbols))
        # No profile knows the coder alone, so a slower device is emulated from this very run.
        time.sleep((self._slowdown - 1) * (time.perf_counter() - begun_s))
        return Encoded(bitstream, 0.0, time.perf_counter() - begun_s, 0.0, encoded.symbols)

    @property
    def local_is_warm(self) -> bool:
        """Whether the whole network has run, so that it will not take longer than it should."""
        return self.local.id in self._ready

    def answer(self, pixels: Pixels, stop: RunStop | None = None) -> LocalAnswer:
        """Run the whole network on uint8 (1, H, W, 3); raises BundleError, and RunStopped where ``stop`` was set."""
        stop = stop or RunStop()
        stop.begin()
        warm_s = self._warm(self.local, pixels)
        try:
            output, device_s = self._timed(
                self.local, lambda: self._sessions.run(_graph(self.local), pixels, stop.options), stop.sleep
            )
        except BundleError as error:
            if stop.is_set:
                raise RunStopped from error
            raise
        stop.end()
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
        graph = option.device_graph
        if graph is not None and graph not in self._warm_graphs:
            self._sessions.prepare(graph)
            self._sessions.run(graph, pixels)
            self._warm_graphs.add(graph)
        if option.coder != "none":
            self._warm_coding(option)
        for refinement in self.bundle.refinements(option):
            refinement.encode(self.bundle.coding(option).blank())
        self._ready.add(option.id)
        return time.perf_counter() - begun_s

    def _warm_coding(self, option: Option) -> None:
        self._code(option, self.bundle.coding(option).blank())

    def _timed(
        self, option: Option, run: Callable[[], Made], sleep: Callable[[float], None] = time.sleep
    ) -> tuple[Made, float]:
        begun_s = time.perf_counter()
        made = run()
        if self._slowdown > 1:
            left_s = self._slowdown * self.profile_s.get(option.id, 0.0) - (time.perf_counter() - begun_s)
            sleep(max(left_s, 0.0))
        return made, time.perf_counter() - begun_s

    def _code(self, option: Option, tensor: Tensor) -> bytes:
        coding = self.bundle.coding(option)
        return _coded(option, lambda: coding.encode(tensor))


def _coded(option: Option, encode: Callable[[], bytes]) -> bytes:
    try:
        return encode()
    except ValueError as error:
        raise BundleError(
            f"the coder of option {option.id} does not fit its graph: {error}", mend="make the bundle again"
        ) from error


def local_option(bundle: Bundle) -> Option:
    """Give the option that answers without the cluster; raises BundleError if there is none."""
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
