"""Answers one frame: plan, head, send, wait, and the device's own answer whenever that fails.

Owns the path of a frame through the agent; head and local answer run in the one worker thread.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from device_agent.answer import FrameAnswer, Parts
from device_agent.frame_feed import DueFrame
from device_agent.head import Encoded, LocalAnswer
from device_agent.loaded_bundle import LoadedBundle
from device_agent.planner import Candidate, Decision, Policy, Snapshot, plan
from device_agent.transport import NoReply, Reply, Transport
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
        """Answer one frame, whatever happens to the link; raises BundleError if a graph cannot be run."""
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
        option, due = attempt.planned, attempt.due
        encoded = await self._work(lambda: self._loaded.head.encode(option, due.pixels))
        if encoded.warm_s == 0:
            self._loaded.costs.note_device(option.id, encoded.device_s + encoded.code_s)
        sending_s = time.perf_counter()
        reply = await self._transport.exchange(
            option.point,
            option.id,
            due.frame_id,
            encoded.bitstream,
            until_s=attempt.begun_s + self._deadline_s,
        )
        exchange_s = time.perf_counter() - sending_s
        match reply:
            case Reply():
                self._loaded.costs.note_sent(option.id, reply.sent_bytes)
                return self._answered(attempt, encoded, reply, exchange_s)
            case NoReply():
                return await self._fall_back(attempt, encoded, reply, exchange_s)

    def _answered(self, attempt: _Attempt, encoded: Encoded, reply: Reply, exchange_s: float) -> FrameAnswer:
        cluster_s = min(reply.result.timings.total_s, exchange_s)
        return self._made(
            attempt,
            where="cluster",
            top=self._loaded.name_top(reply.result.labels, reply.result.scores),
            parts=_parts(attempt, encoded, link_s=exchange_s - cluster_s, cluster_s=cluster_s),
            sent_bytes=reply.sent_bytes,
            message_s=encoded.code_s + reply.message_s,
        )

    async def _fall_back(self, attempt: _Attempt, encoded: Encoded, reply: NoReply, exchange_s: float) -> FrameAnswer:
        begun_s = time.perf_counter()
        local = await self._local(attempt)
        return self._made(
            attempt,
            where="device",
            top=self._loaded.name_top(local.labels, local.scores),
            parts=_parts(attempt, encoded, link_s=exchange_s, local_s=time.perf_counter() - begun_s),
            fallback=reply.fallback,
            sent_bytes=reply.sent_bytes,
            message_s=encoded.code_s + reply.message_s,
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
        sent_bytes: int = 0,
        message_s: float = 0.0,
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
            sent_bytes=sent_bytes,
            bandwidth_bytes_s=self._transport.link.bandwidth_bytes_s,
            slowdown=self._slowdown,
            overhead_s=attempt.plan_s + message_s,
            reasons=attempt.decision.reasons,
        )

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
            cluster_s=FIRST_CLUSTER_S if load is None else load.service_s + load.queue_s,
            served=self._transport.is_served(option.point),
        )

    async def _work(self, job: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)


def _parts(
    attempt: _Attempt, encoded: Encoded, *, link_s: float, cluster_s: float = 0.0, local_s: float = 0.0
) -> Parts:
    return Parts(
        wait=_wait_s(attempt),
        device=encoded.device_s + encoded.warm_s,
        code=encoded.code_s,
        link=link_s,
        cluster=cluster_s,
        local=local_s,
    )


def _wait_s(attempt: _Attempt) -> float:
    return max(attempt.begun_s - attempt.due.due_s, 0.0)
