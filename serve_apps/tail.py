"""The tail of one partition point: checks a frame, decodes it, joins it to a batch, answers it.

Owns the life of a frame inside a replica. Imports neither Ray nor a web framework.
"""

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from cluster.pictures import centre_crop, open_picture
from serve_apps.backends import TailBackend
from serve_apps.batcher import Batcher, Computed
from serve_apps.load_meter import LoadMeter
from serve_apps.stream_memory import StreamMemory
from wire.bundle import Bundle
from wire.errors import DeadlineExceeded, IsthmusError, TailFailed, UnknownOption, UnknownPoint, WrongBundle
from wire.ids import OptionId, PointName
from wire.manifest import Option
from wire.messages import Frame, Hello, LoadSignal, Reject, Result, Timings, Welcome, error_from, reject_from
from wire.tensor_form import Tensor, TensorForm

MAX_BATCH: Final = 16
MAX_WAITING: Final = 256
TOP: Final = 5
RETRY_AFTER_S: Final = 0.2
WARM_UP_FRAMES: Final = 8
WARM_UP_S: Final = 60.0

MakeBackend = Callable[[str, TensorForm], TailBackend]
"""Makes what runs a cluster graph of the bundle on tensors of a form."""


class Tail:
    """One replica's share of one point: an async context that serves frames while it is open."""

    def __init__(
        self,
        bundle: Bundle,
        point: PointName,
        make_backend: MakeBackend,
        *,
        replica_id: str,
        max_batch: int = MAX_BATCH,
    ) -> None:
        """Prepare to serve a point.

        Raises:
            UnknownPoint: the bundle has no option at it that the cluster could answer.
        """
        self.bundle, self.point, self.replica_id = bundle, point, replica_id
        self._options = {option.id: option for option in bundle.options_at(point) if option.cluster_graph}
        if not self._options:
            raise UnknownPoint(f"the bundle serves no point {point!r}", mend=f"one of: {', '.join(bundle.points)}")
        # Options that share a graph share its queue, and meet in its batches.
        forms = {option.cluster_graph: option.form for option in self._options.values() if option.cluster_graph}
        self._batchers = {
            graph: Batcher(make_backend(graph, form), max_batch=max_batch, max_waiting=MAX_WAITING)
            for graph, form in forms.items()
        }
        self._labels = bundle.labels()
        self._meter = LoadMeter(point, unloaded_s=0.0, now=time.monotonic())
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for batcher in self._batchers.values():
                await self._stack.enter_async_context(batcher)
            await self._warm_up()
        except BaseException:
            await self._stack.aclose()  # what is loaded is given back, since nobody will leave what was not entered
            raise
        self._meter.state = "ready"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._meter.state = "draining"
        await self._stack.aclose()

    def load(self) -> LoadSignal:
        """Say how this replica stands."""
        return self._meter.signal(time.monotonic())

    def welcome(self, hello: Hello) -> Welcome:
        """Answer a device that opens a stream.

        Raises:
            WrongBundle: it holds another bundle.
        """
        if hello.bundle != self.bundle.digest:
            raise WrongBundle(
                f"the cluster serves bundle {self.bundle.digest[:12]}, not {hello.bundle[:12]}",
                mend="fetch the bundle again",
            )
        return Welcome(self.replica_id, self.bundle.digest, self.load())

    async def answer(self, frame: Frame, memory: StreamMemory | None = None) -> Result | Reject:
        """Answer one frame, or a further look at it; what goes wrong becomes a ``Reject`` that says so.

        ``memory`` is that of the frame's stream; a frame that comes without a stream has one look.
        """
        began = time.monotonic()
        self._meter.in_flight += 1
        try:
            option = self._option(frame.option_id)
            tensor = (memory or StreamMemory()).decode(self.bundle, option, frame)
            decoded = time.monotonic()
            left_s = frame.budget_s - (decoded - began)
            if left_s <= 0:
                raise DeadlineExceeded("the frame's budget ran out while it was decoded")
            computed = await self._compute(option, tensor, budget_s=left_s)
        except IsthmusError as error:
            return reject_from(error, frame.frame_id, retry_after_s=RETRY_AFTER_S, load=self.load())
        finally:
            self._meter.in_flight -= 1
        return self._result(frame, computed, began, decoded)

    async def answer_picture(self, picture: bytes, *, budget_s: float) -> Result:
        """Answer a picture of any size and format at the point ``input``, as a person would send it.

        Raises:
            UnknownOption: this point takes no pictures.
            BadPicture: it does not decode, or is too large.
            Overloaded, DeadlineExceeded, TailFailed: it could not be computed.
        """
        option = next((option for option in self._options.values() if option.device_graph is None), None)
        if option is None:
            raise UnknownOption(f"{self.point} takes no pictures", mend="POST the picture to the point input")
        began = time.monotonic()
        self._meter.in_flight += 1
        try:
            tensor = await asyncio.to_thread(self._cropped, picture)
            decoded = time.monotonic()
            computed = await self._compute(option, tensor, budget_s=budget_s)
        finally:
            self._meter.in_flight -= 1
        frame = Frame(frame_id=0, option_id=OptionId(option.id), budget_s=budget_s, bitstream=b"")
        return self._result(frame, computed, began, decoded)

    def labelled(self, result: Result) -> list[tuple[str, float]]:
        """Give the labels of a result in words, best first."""
        return [(self._labels[index], score) for index, score in zip(result.labels, result.scores, strict=True)]

    async def _warm_up(self) -> None:
        """Answer a few blank frames, since the first ones are slow, and note how long one takes when warm."""
        times_s = []
        for option in self._options.values():
            coding, refinements = self.bundle.coding(option), self.bundle.refinements(option)
            blank = coding.blank()
            bitstreams = [coding.encode(blank), *(refinement.encode(blank) for refinement in refinements)]
            for number in range(WARM_UP_FRAMES):
                memory = StreamMemory()
                for bitstream in bitstreams:
                    frame = Frame(frame_id=number, option_id=option.id, budget_s=WARM_UP_S, bitstream=bitstream)
                    answer = await self.answer(frame, memory)
                    if isinstance(answer, Reject):
                        raise error_from(answer)
                    times_s.append(answer.timings.total_s)
        self._meter = LoadMeter(self.point, unloaded_s=min(times_s), now=time.monotonic())

    async def _compute(self, option: Option, tensor: Tensor, *, budget_s: float) -> Computed:
        assert option.cluster_graph is not None
        computed = await self._batchers[option.cluster_graph].submit(tensor, budget_s=budget_s)
        if not np.isfinite(computed.probabilities).all():
            # From real symbols that are no numbers, say; they could be sent neither as a message nor as JSON.
            raise TailFailed("the tail's answer to this frame is no number")
        return computed

    def _option(self, option_id: OptionId) -> Option:
        try:
            return self._options[option_id]
        except KeyError:
            offered = ", ".join(map(str, self._options))
            raise UnknownOption(f"{self.point} has no option {option_id}", mend=f"one of: {offered}") from None

    def _cropped(self, picture: bytes) -> Tensor:
        size = self.bundle.manifest.input
        opened = open_picture(io.BytesIO(picture))
        return centre_crop(opened, resize=size.resize, height=size.height, width=size.width)

    def _result(self, frame: Frame, computed: Computed, began: float, decoded: float) -> Result:
        now = time.monotonic()
        decode_s = decoded - began
        best = _top(computed.probabilities)
        self._meter.answered(
            service_s=decode_s + computed.compute_s,
            queue_s=computed.queue_s,
            busy_s=decode_s + computed.compute_s / computed.batch_size,
            now=now,
        )
        return Result(
            frame_id=frame.frame_id,
            option_id=frame.option_id,
            labels=tuple(best.tolist()),
            scores=tuple(computed.probabilities[best].tolist()),
            batch_size=computed.batch_size,
            timings=Timings(
                decode_s=decode_s,
                queue_s=max(0.0, computed.queue_s),
                compute_s=computed.compute_s,
                total_s=now - began,
            ),
            load=self.load(),
        )


def _top(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    count = min(TOP, len(probabilities))
    best = np.argpartition(probabilities, -count)[-count:]
    return best[np.argsort(-probabilities[best])]
