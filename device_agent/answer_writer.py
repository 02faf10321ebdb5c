"""Writes up how a frame was answered: its parts, its bytes and joules, and what of the allowances it spent."""

import time
from typing import Literal

from device_agent.answer import FrameAnswer, Parts
from device_agent.attempt import Attempt
from device_agent.decider import Decider
from device_agent.loaded_bundle import LoadedBundle
from device_agent.look import Look
from device_agent.transport import Transport


class AnswerWriter:
    """Writes answers with one loaded bundle, and tells ``decider`` what each has spent."""

    def __init__(self, loaded: LoadedBundle, transport: Transport, decider: Decider) -> None:
        self._loaded, self._transport, self._decider = loaded, transport, decider
        self._probe_bytes = transport.probe_bytes

    def write(
        self,
        attempt: Attempt,
        *,
        where: Literal["cluster", "device"],
        top: tuple[tuple[str, float], ...],
        parts: Parts,
        fallback: str | None = None,
        looks: tuple[Look, ...] = (),
    ) -> FrameAnswer:
        """Write an answer; it is given now."""
        unix_s, now_s = time.time(), time.monotonic()
        latency_s = now_s - attempt.due.due_s
        moved_bytes = sum(look.reply.sent_bytes + look.reply.received_bytes for look in looks)
        energy_j = self._spend(parts, moved_bytes)
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
            look_bytes=tuple(look.reply.sent_bytes for look in looks),
            moved_bytes=moved_bytes,
            energy_j=energy_j,
            in_time=latency_s <= self._decider.rules.constraints.deadline_s,
            broken=attempt.decision.broken,
            bandwidth_bytes_s=self._transport.link.bandwidth_bytes_s,
            emulated=self._loaded.emulated,
            overhead_s=attempt.plan_s + sum(look.message_s for look in looks),
            reasons=attempt.decision.reasons,
        )

    def _spend(self, parts: Parts, moved_bytes: int) -> float:
        """Give the joules of a frame, and take frame and probes since the last one out of what is allowed."""
        transfer_s = moved_bytes * self._transport.link.view(time.monotonic()).s_per_byte
        energy_j = self._decider.energy.frame_j(parts.device + parts.code + parts.local, moved_bytes, transfer_s)
        probed = self._transport.probe_bytes - self._probe_bytes
        self._probe_bytes += probed
        self._decider.spend(moved_bytes + probed, energy_j)
        return energy_j
