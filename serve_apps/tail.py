"""The tail of one partition point: checks a frame, decodes it, joins it to a batch, answers it.

Owns the life of a frame inside a replica. Imports neither Ray nor a web framework.
"""

import asyncio
import io
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from cluster.pictures import centre_crop, open_picture
from cluster.triton.tuning import Tuning
from serve_apps.backends import TailBackend
from serve_apps.batcher import Batcher, Computed
from serve_apps.load_meter import LoadMeter
from serve_apps.logs import get_logger
from serve_apps.node_load import NodeLoad
from serve_apps.stream_memory import StreamMemory
from serve_apps.waiting_room import places_for
from wire.bundle import Bundle
from wire.errors import DeadlineExceeded, IsthmusError, Overloaded, TailFailed, UnknownOption, UnknownPoint, WrongBundle
from wire.ids import OptionId, PointName
from wire.manifest import Option
from wire.messages import Frame, Hello, LoadSignal, Reject, Result, Timings, Welcome, error_from, reject_from
from wire.tensor_form import Tensor, TensorForm

MAX_BATCH: Final = 16
TOP: Final = 5
RETRY_AFTER_S: Final = 0.2
"""After what is no question of load: a fault of the tail, say."""
WARM_UP_FRAMES: Final = 8
WARM_UP_S: Final = 60.0
LOOK_EVERY_S: Final = 0.001
DECODE_MEMORY: Final = 0.1
"""Share of the newest frame in what decoding takes."""

log = get_logger("isthmus.tail")

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
        tunings: Mapping[str, Tuning] | None = None,
    ) -> None:
        """Prepare to serve a point.

        ``tunings`` are of cluster graphs whose profile was measured; the others get batches of up to ``max_batch``, one
        at a time.

        Raises:
            UnknownPoint: the bundle has no option at it that the cluster could answer.
        """
        self.bundle, self.point, self.replica_id = bundle, point, replica_id
        self._options = {option.id: option for option in bundle.options_at(point) if option.cluster_graph}
        if not self._options:
            raise UnknownPoint(f"the bundle serves no point {point!r}", mend=f"one of: {', '.join(bundle.points)}")
        # Options that share a graph share its queue, and meet in its batches.
        forms = {option.cluster_graph: option.form for option in self._options.values() if option.cluster_graph}
        default = Tuning(max_batch=max_batch)
        self._batchers = {
            graph: _batcher(make_backend(graph, form), form, (tunings or {}).get(graph, default))
            for graph, form in forms.items()
        }
        self._decode_s = dict.fromkeys(self._options, 0.0)
        self._wait_at, self._wait_s = float("-inf"), 0.0
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

    @property
    def models(self) -> int:
        """How many models it holds."""
        return len(self._batchers)

    @property
    def answered_at_s(self) -> float:
        """When a frame was answered last, on the monotonic clock."""
        return self._meter.answered_at_s

    def load(self) -> LoadSignal:
        """Say how this replica stands."""
        now = time.monotonic()
        self._meter.note_queue(self._expected_wait_s(now), now)
        return self._meter.signal(now)

    def note_node(self, node: NodeLoad) -> None:
        """Note how busy the machine is, for the load signal."""
        self._meter.node = node

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

    def serving(self, _hello: Hello) -> "Tail":
        """Give what answers the frames of a device that was welcomed."""
        return self

    async def answer(self, frame: Frame, memory: StreamMemory | None = None) -> Result | Reject:
        """Answer one frame, or a further look at it; what goes wrong becomes a ``Reject`` that says so.

        ``memory`` is that of the frame's stream; a frame that comes without a stream has one look. Whether the frame
        can make its deadline is decided before it is decoded: to decode what is refused then would slow all others.
        """
        began = time.monotonic()
        memory = memory or StreamMemory()
        self._meter.note_queue(self._expected_wait_s(began), began)  # as those see it who come
        self._meter.in_flight += 1
        option: Option | None = None
        try:
            option = self._option(frame.option_id)
            room = self._batcher(option).place(
                budget_s=frame.budget_s, device=memory.device, decode_s=self._decode_s[option.id]
            )
            with room as place:
                tensor = memory.decode(self.bundle, option, frame)
                decoded = time.monotonic()
                computed = _finite(await place.compute(tensor))
        except IsthmusError as error:
            return reject_from(
                error, frame.frame_id, retry_after_s=self._retry_after_s(option, error), load=self.load()
            )
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
            with self._batcher(option).place(budget_s=budget_s) as place:
                tensor = await asyncio.to_thread(self._cropped, picture)
                decoded = time.monotonic()
                computed = _finite(await place.compute(tensor))
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
        for option in {option.cluster_graph: option for option in self._options.values()}.values():
            await self._batcher(option).measure(self.bundle.coding(option).blank())
        self._meter = LoadMeter(self.point, unloaded_s=min(times_s), now=time.monotonic())

    def _batcher(self, option: Option) -> Batcher:
        assert option.cluster_graph is not None
        return self._batchers[option.cluster_graph]

    def _expected_wait_s(self, now: float) -> float:
        # Frames come and are answered in swarms, and a look at all the queues costs as much as admitting one of them.
        if now - self._wait_at > LOOK_EVERY_S:
            self._wait_s = max(batcher.expected_wait_s(now) for batcher in self._batchers.values())
            self._wait_at = now
        return self._wait_s

    def _retry_after_s(self, option: Option | None, error: IsthmusError) -> float:
        if option is None or not isinstance(error, Overloaded | DeadlineExceeded):
            return RETRY_AFTER_S
        return self._batcher(option).retry_after_s()

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
        if log.isEnabledFor(logging.DEBUG):  # asked by every frame: to make the line and drop it would take longer
            log.debug("frame.computed", frame=frame.frame_id, batch=computed.batch_id, frames=computed.batch_size)
        option = self._options[frame.option_id]
        self._decode_s[option.id] += DECODE_MEMORY * (decode_s - self._decode_s[option.id])
        self._meter.answered(
            service_s=decode_s + self._batcher(option).times.alone_s,
            queue_s=self._expected_wait_s(now),
            busy_s=decode_s + computed.compute_s / computed.batch_size,
            alone=computed.batch_size == 1 and not self._meter.in_flight,
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
            load=self._meter.signal(now),
        )


def _batcher(backend: TailBackend, form: TensorForm, tuning: Tuning) -> Batcher:
    places = places_for(form, tuning.max_batch)
    return Batcher(backend, max_batch=tuning.max_batch, max_waiting=places, lanes=tuning.instances)


def _finite(computed: Computed) -> Computed:
    """Refuse probabilities that are no numbers, which could be sent neither as a message nor as JSON.

    They come from real symbols that are no numbers, say.
    """
    if not np.isfinite(computed.probabilities).all():
        raise TailFailed("the tail's answer to this frame is no number")
    return computed


def _top(probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    count = min(TOP, len(probabilities))
    best = np.argpartition(probabilities, -count)[-count:]
    return best[np.argsort(-probabilities[best])]
