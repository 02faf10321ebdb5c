"""Answers one frame: plan, head, send, wait, further looks at what is uncertain, the device's own answer at need.

Owns the path of a frame through the agent; head and local answer run in the one worker thread.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from device_agent.answer import FrameAnswer
from device_agent.answer_writer import AnswerWriter
from device_agent.attempt import Attempt
from device_agent.decider import Decider
from device_agent.frame_feed import DueFrame
from device_agent.head import Encoded, LocalAnswer
from device_agent.loaded_bundle import LoadedBundle
from device_agent.look import Look, last_result, leaves_doubt
from device_agent.patience import patience
from device_agent.power_meter import PowerMeter
from device_agent.race import OUTRUN
from device_agent.reply import NoReply, Reply
from device_agent.run_stop import RunStop
from device_agent.spatial_activity import spatial_activity
from device_agent.transport import Transport
from wire.manifest import Option

_COLD: Final = 2.0
"""The first run of a graph takes so much longer than the next ones: its weights are read then."""
_GIVE_UP_S: Final = 0.001

Made = TypeVar("Made")


class Answerer:
    """Answers frames with one loaded bundle, as ``decider`` says.

    The deadline counts from when a frame was due. A frame that waited for those before it until its deadline had passed
    gets the option that is least late, and time for it, so that an agent that fell behind still asks the cluster.
    """

    def __init__(
        self,
        loaded: LoadedBundle,
        transport: Transport,
        worker: ThreadPoolExecutor,
        decider: Decider,
        meter: PowerMeter | None = None,
    ) -> None:
        self._loaded = loaded
        self._transport = transport
        self._worker = worker
        self._decider = decider
        self._meter = meter
        self._writer = AnswerWriter(loaded, transport, decider)
        self._ahead: Option | None = None

    async def answer(self, due: DueFrame) -> FrameAnswer:
        """Answer one frame, whatever happens to the link; raises BundleError if a graph cannot be run.

        When a further look fails, or there is no time for it, the answer before it stands.
        """
        begun_s = time.monotonic()
        if self._meter is not None and self._meter.extra_w is not None:
            self._decider.energy = replace(self._decider.energy, extra_w=self._meter.extra_w)
        planning_s = time.perf_counter()
        decision = self._decider.decide(
            due_s=due.due_s,
            now_s=begun_s,
            activity=spatial_activity(due.pixels),
            link_up=not self._transport.down.is_set(),
            opened=self._transport.opened,
        )
        plan_s = time.perf_counter() - planning_s
        planned = self._loaded.bundle.option(decision.option_id)
        prediction = decision.prediction
        waits = patience(
            due_s=due.due_s,
            begun_s=begun_s,
            deadline_s=self._decider.rules.waits_s,
            local_s=self._decider.local_s() * (1 if self._loaded.head.local_is_warm else _COLD),
            device_s=prediction.device_s,
            predicted_s=prediction.total_s,
            races=prediction.races,
        )
        if decision.ahead is not None:
            self._ahead = self._loaded.bundle.option(decision.ahead)
            self._transport.open_ahead(self._ahead.point)
        attempt = Attempt(due, begun_s, decision, planned, plan_s, waits)
        return await (self._alone(attempt) if planned.coder == "none" else self._with_cluster(attempt))

    async def look_ahead(self, due: DueFrame) -> None:
        """Between two frames, make ready what may be chosen next.

        That is an option that the last frame would have had but for its stream, and how large that frame would have
        been as a picture, if it is time to look.
        """
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            await self._work(partial(self._loaded.head.warm, ahead, due.pixels))
        for option in self._decider.wants_sizes(time.monotonic()):
            encoded = await self._work(partial(self._loaded.head.encode, option, due.pixels))
            self._loaded.costs.note_size(option.id, len(encoded.bitstream))

    async def prepare_local(self) -> None:
        """Have the device's own answer ready, before the link is missed."""
        await self._work(self._loaded.head.prepare_local)

    async def _with_cluster(self, attempt: Attempt) -> FrameAnswer:
        first = asyncio.create_task(self._first_look(attempt))
        down = asyncio.create_task(self._transport.down.wait())
        try:
            left_s = attempt.patience.alone_from_s - time.monotonic()
            await asyncio.wait((first, down), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not _is_answered(first):
                return await self._beside(attempt, first)
        finally:
            down.cancel()
            first.cancel()
            await asyncio.gather(first, down, return_exceptions=True)
        looks = [first.result()]
        while self._needs_another(attempt, looks):
            refine = partial(self._loaded.head.refine, attempt.planned, looks[-1].encoded, len(looks))
            encoded = await self._work(refine)
            # The last reply was heard within this frame, so what little time is left tells nothing of a dead link.
            looks.append(await self._look(attempt, encoded, silent_since_s=attempt.begun_s))
        return self._by_cluster(attempt, tuple(looks))

    async def _beside(self, attempt: Attempt, first: asyncio.Task[Look]) -> FrameAnswer:
        """Have the device answer while the first look may still be answered too; whichever is first counts.

        But an answer in doubt, for which there is no time to look again, does not: the device runs the whole network.
        The other one is given up: a run of the graph is ended early, or it would hold up the head of the next frame.
        """
        stop = RunStop()
        local = asyncio.create_task(self._local(attempt, stop))
        try:
            while not (local.done() or self._is_certain(attempt, first)):
                waiting = [task for task in (local, first) if not task.done()]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._is_certain(attempt, first):
                stop.set()
                return self._by_cluster(attempt, (first.result(),), local_s=stop.ran_s)
            self._transport.give_up(attempt.due.frame_id)
            if not first.done():
                # What was sent is told at once; a head that still runs, or a stream that opens, is left behind.
                await asyncio.wait((first,), timeout=_GIVE_UP_S)
            looks = (first.result(),) if first.done() else ()
            fallback = next((look.reply.fallback for look in looks if isinstance(look.reply, NoReply)), None)
            if fallback is None:
                fallback = "doubt" if looks else "late"
            if fallback == "late" and attempt.decision.prediction.races:
                fallback = OUTRUN
            return self._by_device(attempt, local.result(), looks, fallback=fallback, local_s=stop.ran_s)
        finally:
            stop.set()
            await asyncio.gather(local, return_exceptions=True)

    def _by_cluster(self, attempt: Attempt, looks: tuple[Look, ...], *, local_s: float = 0.0) -> FrameAnswer:
        planned, costs = attempt.planned, self._loaded.costs
        self._note_device(attempt, looks)
        result = last_result(looks)
        assert result is not None, "the first look was answered"
        costs.note_sent(planned.id, sum(look.reply.sent_bytes for look in looks), len(looks))
        top = self._loaded.name_top(result.labels, result.scores)
        parts = attempt.parts(looks, local_s=local_s)
        return self._writer.write(attempt, where="cluster", top=top, parts=parts, looks=looks)

    def _by_device(
        self, attempt: Attempt, local: LocalAnswer, looks: tuple[Look, ...], *, fallback: str, local_s: float
    ) -> FrameAnswer:
        self._note_device(attempt, looks)
        top = self._loaded.name_top(local.labels, local.scores)
        parts = attempt.parts(looks, local_s=local_s)
        return self._writer.write(attempt, where="device", top=top, parts=parts, fallback=fallback, looks=looks)

    def _note_device(self, attempt: Attempt, looks: tuple[Look, ...]) -> None:
        if looks and not any(look.encoded.warm_s for look in looks):
            self._loaded.costs.note_device(attempt.planned.id, sum(look.device_s for look in looks))

    async def _first_look(self, attempt: Attempt) -> Look:
        head, planned = self._loaded.head, attempt.planned
        encoded = await self._work(lambda: head.encode(planned, attempt.due.pixels))
        return await self._look(attempt, encoded)

    async def _look(self, attempt: Attempt, encoded: Encoded, *, silent_since_s: float | None = None) -> Look:
        sending_s = time.perf_counter()
        reply = await self._transport.exchange(
            attempt.planned.point,
            attempt.planned.id,
            attempt.due.frame_id,
            encoded.bitstream,
            until_s=attempt.patience.until_s,
            silent_since_s=silent_since_s,
        )
        return Look(encoded, reply, time.perf_counter() - sending_s)

    def _needs_another(self, attempt: Attempt, looks: list[Look]) -> bool:
        """Tell whether the last answer leaves doubt that another look may lift, and there is time for it."""
        planned, reply = attempt.planned, looks[-1].reply
        if len(looks) > len(planned.refinements) or isinstance(reply, NoReply):
            return False
        if not leaves_doubt(reply.result, planned.refinements[len(looks) - 1]):
            return False
        # It takes about as long as the last one: the round trip and the queue are most of it.
        left_s = attempt.patience.until_s - time.monotonic()
        return not self._transport.down.is_set() and left_s >= looks[-1].exchange_s

    def _is_certain(self, attempt: Attempt, first: asyncio.Task[Look]) -> bool:
        if not _is_answered(first):
            return False
        result = last_result((first.result(),))
        refinements = attempt.planned.refinements
        return result is not None and not (refinements and leaves_doubt(result, refinements[0]))

    async def _alone(self, attempt: Attempt) -> FrameAnswer:
        local = await self._local(attempt)
        return self._writer.write(
            attempt,
            where="device",
            top=self._loaded.name_top(local.labels, local.scores),
            parts=attempt.parts(device_s=local.device_s + local.warm_s),
            fallback=attempt.decision.gave_way,
        )

    async def _local(self, attempt: Attempt, stop: RunStop | None = None) -> LocalAnswer:
        head = self._loaded.head
        local = await self._work(lambda: head.answer(attempt.due.pixels, stop))
        if local.warm_s == 0:
            self._loaded.costs.note_device(head.local.id, local.device_s)
        return local

    async def _work(self, job: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._metered, job)

    def _metered(self, job: Callable[[], Made]) -> Made:
        made = job()
        if self._meter is not None:
            self._meter.note_busy(time.monotonic())
        return made


def _is_answered(first: asyncio.Task[Look]) -> bool:
    return first.done() and isinstance(first.result().reply, Reply)
