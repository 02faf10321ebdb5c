"""Answers one frame: plan, head, send, wait, further looks at what is uncertain, the device's own answer at need.

Owns the path of a frame through the agent; head and local answer run in the one worker thread.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeVar

from device_agent.answer import FrameAnswer, Parts
from device_agent.frame_feed import DueFrame
from device_agent.head import Encoded, LocalAnswer
from device_agent.loaded_bundle import LoadedBundle
from device_agent.look import Look, last_result, leaves_doubt
from device_agent.planner import Candidate, Decision, Policy, Snapshot, plan
from device_agent.transport import NoReply, Transport
from wire.manifest import Option

FIRST_CLUSTER_S: Final = 0.01
"""Assumed for a point whose load signal is not known yet."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One frame on its way; ``begun_s`` is on the monotonic clock."""

    due: DueFrame
    begun_s: float
    decision: Decision
    planned: Option
    plan_s: float


class Answerer:
    """Answers frames with one loaded bundle.

    ``deadline_s`` counts from when a frame is begun, not from when it was due: no option can mend the time
    that a frame has waited for those before it, and a deadline that has passed before the start would keep
    an agent that fell behind from ever asking the cluster again.
    """

    def __init__(
        self,
        loaded: LoadedBundle,
        transport: Transport,
        worker: ThreadPoolExecutor,
        *,
        policy: Policy,
        deadline_s: float,
        slowdown: float,
    ) -> None:
        self._loaded = loaded
        self._transport = transport
        self._worker = worker
        self._policy = policy
        self._deadline_s = deadline_s
        self._slowdown = slowdown

    async def answer(self, due: DueFrame) -> FrameAnswer:
        """Answer one frame, whatever happens to the link; raises BundleError if a graph cannot be run.

        When a further look fails, or there is no time for it, the answer before it stands.
        """
        begun_s = time.monotonic()
        planning_s = time.perf_counter()
        decision = plan(self._snapshot())
        plan_s = time.perf_counter() - planning_s
        planned = self._loaded.bundle.option(decision.option_id)
        attempt = _Attempt(due, begun_s, decision, planned, plan_s)
        if planned.coder == "none":
            return await self._alone(attempt)
        return await self._with_cluster(attempt)

    async def prepare_local(self) -> None:
        """Have the device's own answer ready, before the link is missed."""
        await self._work(self._loaded.head.prepare_local)

    async def _with_cluster(self, attempt: _Attempt) -> FrameAnswer:
        planned, costs = attempt.planned, self._loaded.costs
        looks = await self._looks(attempt)
        if not any(look.encoded.warm_s for look in looks):
            costs.note_device(planned.id, sum(look.device_s for look in looks))
        result = last_result(looks)
        if result is None:
            return await self._fall_back(attempt, looks)
        costs.note_sent(planned.id, sum(look.reply.sent_bytes for look in looks), len(looks))
        top = self._loaded.name_top(result.labels, result.scores)
        return self._made(attempt, where="cluster", top=top, parts=_parts(attempt, looks), looks=looks)

    async def _looks(self, attempt: _Attempt) -> tuple[Look, ...]:
        planned, head = attempt.planned, self._loaded.head
        encoded = await self._work(lambda: head.encode(planned, attempt.due.pixels))
        looks = [await self._look(attempt, encoded)]
        while self._needs_another(attempt, looks):
            encoded = await self._work(partial(head.refine, planned, encoded, len(looks)))
            # The last reply was heard within this frame, so what little time is left tells nothing of a dead link.
            looks.append(await self._look(attempt, encoded, silent_since_s=attempt.begun_s))
        return tuple(looks)

    async def _look(self, attempt: _Attempt, encoded: Encoded, *, silent_since_s: float | None = None) -> Look:
        sending_s = time.perf_counter()
        reply = await self._transport.exchange(
            attempt.planned.point,
            attempt.planned.id,
            attempt.due.frame_id,
            encoded.bitstream,
            until_s=self._until_s(attempt),
            silent_since_s=silent_since_s,
        )
        return Look(encoded, reply, time.perf_counter() - sending_s)

    def _needs_another(self, attempt: _Attempt, looks: list[Look]) -> bool:
        """Tell whether the last answer leaves doubt that another look may lift, and there is time for it."""
        planned, reply = attempt.planned, looks[-1].reply
        if len(looks) > len(planned.refinements) or isinstance(reply, NoReply):
            return False
        if not leaves_doubt(reply.result, planned.refinements[len(looks) - 1]):
            return False
        # It takes about as long as the last one: the round trip and the queue are most of it.
        left_s = self._until_s(attempt) - time.monotonic()
        return not self._transport.down.is_set() and left_s >= looks[-1].exchange_s

    async def _fall_back(self, attempt: _Attempt, looks: tuple[Look, ...]) -> FrameAnswer:
        begun_s = time.perf_counter()
        local = await self._local(attempt)
        return self._made(
            attempt,
            where="device",
            top=self._loaded.name_top(local.labels, local.scores),
            parts=_parts(attempt, looks, local_s=time.perf_counter() - begun_s),
            fallback=next((look.reply.fallback for look in looks if isinstance(look.reply, NoReply)), None),
            looks=looks,
        )

    async def _alone(self, attempt: _Attempt) -> FrameAnswer:
        local = await self._local(attempt)
        return self._made(
            attempt,
            where="device",
            top=self._loaded.name_top(local.labels, local.scores),
            parts=Parts(wait=_wait_s(attempt), device=local.device_s + local.warm_s),
            fallback="link_down" if attempt.decision.link_down else None,
        )

    async def _local(self, attempt: _Attempt) -> LocalAnswer:
        head = self._loaded.head
        local = await self._work(lambda: head.answer(attempt.due.pixels))
        if local.warm_s == 0:
            self._loaded.costs.note_device(head.local.id, local.device_s)
        return local

    def _made(
        self,
        attempt: _Attempt,
        *,
        where: Literal["cluster", "device"],
        top: tuple[tuple[str, float], ...],
        parts: Parts,
        fallback: str | None = None,
        looks: tuple[Look, ...] = (),
    ) -> FrameAnswer:
        unix_s, now_s = time.time(), time.monotonic()
        latency_s = now_s - attempt.due.due_s
        return FrameAnswer(
            frame=attempt.due.frame_id,
            unix_s=unix_s,
            due_unix_s=unix_s - latency_s,
            option=attempt.planned if where == "cluster" else self._loaded.head.local,
            planned=attempt.planned,
            where=where,
            fallback=fallback,
            top=top,
            latency_s=latency_s,
            parts=parts,
            predicted=attempt.decision.prediction,
            sent_bytes=sum(look.reply.sent_bytes for look in looks),
            looks=len(looks),
            bandwidth_bytes_s=self._transport.link.bandwidth_bytes_s,
            slowdown=self._slowdown,
            overhead_s=attempt.plan_s + sum(look.message_s for look in looks),
            reasons=attempt.decision.reasons,
        )

    def _until_s(self, attempt: _Attempt) -> float:
        return attempt.begun_s + self._deadline_s

    def _snapshot(self) -> Snapshot:
        link = None if self._transport.down.is_set() else self._transport.link.view()
        candidates = tuple(self._candidate(option) for option in self._loaded.bundle.manifest.options)
        return Snapshot(candidates, link, self._policy)

    def _candidate(self, option: Option) -> Candidate:
        load = self._transport.loads.get(option.point)
        costs = self._loaded.costs
        return Candidate(
            option_id=option.id,
            point=option.point,
            rate=option.rate,
            sends=option.coder != "none",
            device_s=costs.device_s(option.id),
            bytes_mean=costs.sent_bytes(option.id),
            looks=costs.looks(option.id),
            cluster_s=FIRST_CLUSTER_S if load is None else load.service_s + load.queue_s,
            served=self._transport.is_served(option.point),
            drop=option.measured.top1_drop,
        )

    async def _work(self, job: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)


def _parts(attempt: _Attempt, looks: tuple[Look, ...], *, local_s: float = 0.0) -> Parts:
    return Parts(
        wait=_wait_s(attempt),
        device=sum(look.encoded.device_s + look.encoded.warm_s for look in looks),
        code=sum(look.encoded.code_s for look in looks),
        link=sum(look.link_s for look in looks),
        cluster=sum(look.cluster_s for look in looks),
        local=local_s,
    )


def _wait_s(attempt: _Attempt) -> float:
    return max(attempt.begun_s - attempt.due.due_s, 0.0)
