"""One agent in virtual time: its real ``Decider``, and the seconds and bytes of ``FrameTables`` for all that it does.

Follows ``device_agent.answerer`` step by step. Owns the way of a frame; the device is ``loadtests.virtual_device``'s,
and the link ``loadtests.virtual_transport``'s.
"""

import zlib
from collections.abc import Generator
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, cast

import simpy
from simpy.events import Event

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.decider import Decider
from device_agent.link_estimate import make_link
from device_agent.option_costs import MESSAGE_BYTES, OptionCosts
from device_agent.patience import Patience, patience
from device_agent.planner import Decision
from loadtests.frame_tables import FrameTables
from loadtests.virtual_cluster import VirtualCluster
from loadtests.virtual_device import VirtualDevice, Worker
from loadtests.virtual_frame import VirtualFrame
from loadtests.virtual_link import VirtualLink
from loadtests.virtual_prober import start_probing
from loadtests.virtual_transport import Steps, VirtualReply, VirtualTransport
from wire.ids import PointName

__all__ = ["VirtualAgent", "VirtualDevice", "VirtualFrame"]


@dataclass(frozen=True, slots=True)
class _Attempt:
    frame: int
    due_s: float
    begun_s: float
    row: int
    decision: Decision
    patience: Patience


@dataclass(frozen=True, slots=True)
class _Look:
    reply: VirtualReply
    device_s: float
    exchange_s: float


class VirtualAgent:
    """Answers frame after frame, each begun when it is due and the one before is answered; ``done`` when all are."""

    def __init__(
        self,
        env: simpy.Environment,
        tables: FrameTables,
        device: VirtualDevice,
        carrier: VirtualLink,
        server: VirtualCluster,
    ) -> None:
        self.answers: list[VirtualFrame] = []
        self._env, self._tables, self._device = env, tables, device
        constraints = device.rules.constraints
        self._deadline_s = constraints.deadline_s
        profile_s = dict(zip((option.id for option in tables.options), tables.device_s.tolist(), strict=True))
        self._costs = OptionCosts(tables.options, profile_s)
        cluster = ClusterView()
        cluster.note_loads(server.loads(), now_s=env.now)
        link = make_link(device.link)
        seed = zlib.crc32(device.device_id.encode())
        self.decider = Decider(
            options=tables.options,
            costs=self._costs,
            link=link,
            cluster=cluster,
            rules=device.rules,
            energy=device.energy,
            bytes_left=Allowance(constraints.bytes_per_hour, now_s=env.now),
            joules_left=Allowance(constraints.joules_per_hour, now_s=env.now),
            seed=seed,
        )
        self._local = self.decider.table.local
        self.transport = VirtualTransport(env, tables, carrier, server, link=link, cluster=cluster)
        if (point := self._probed_point()) is not None:
            start_probing(self.transport, point)
        self._worker = Worker(env, device, seed=seed)
        self._spent_probe_bytes = 0
        self.done = env.process(self._run())

    def _run(self) -> Steps:
        for number in range(self._device.frames):
            frame = self._device.first_frame + number
            due_s = self._device.begins_s + number / self._device.fps
            if due_s > self._env.now:
                yield self._env.timeout(due_s - self._env.now)
            yield self._env.timeout(self._tables.own_s)
            yield from self._answer(frame, due_s)
            self._look_at_sizes(frame)

    def _look_at_sizes(self, frame: int) -> None:
        for option in self.decider.wants_sizes(self._env.now):
            sent_bytes = self._tables.sent_bytes[self._costs.row(option.id), frame % self._tables.frames, 0]
            self._costs.note_size(option.id, round(sent_bytes) - MESSAGE_BYTES)

    def _answer(self, frame: int, due_s: float) -> Steps:
        begun_s = self._env.now
        decision = self.decider.decide(
            due_s=due_s,
            now_s=begun_s,
            activity=float(self._tables.activity[frame % self._tables.frames]),
            link_up=not self.transport.is_down,
            opened=self.transport.streams,
        )
        if decision.ahead is not None and not self.transport.is_down:
            self.transport.open(self._tables.options[self._costs.row(decision.ahead)].point)
        waits = patience(
            due_s=due_s,
            begun_s=begun_s,
            deadline_s=self._deadline_s,
            local_s=self.decider.local_s(),
            device_s=decision.prediction.device_s,
            predicted_s=decision.prediction.total_s,
            races=decision.prediction.races,
        )
        attempt = _Attempt(frame, due_s, begun_s, self._costs.row(decision.option_id), decision, waits)
        if attempt.row != self._local:
            yield from self._with_cluster(attempt)
            return
        took_s = self._takes_s(self._tables.device_s, self._local)
        yield self._worker.work(took_s)
        self._costs.note_device(decision.option_id, took_s)
        self._note(attempt, "device", [], decision.gave_way, worked_s=took_s)

    def _with_cluster(self, attempt: _Attempt) -> Steps:
        first = self._env.process(self._first_look(attempt))
        waited = [first, self.transport.goes_down]
        if (alone_from_s := attempt.patience.alone_from_s) < inf:
            waited.append(self._env.timeout(max(alone_from_s - self._env.now, 0.0)))
        yield self._env.any_of(waited)
        look = _ended(first)
        if look is None or look.reply.fallback is not None:
            yield from self._beside(attempt, first)
            return
        looks = [look]
        while self._needs_another(attempt, looks):
            took_s = self._takes_s(self._tables.refine_s, attempt.row)
            yield self._worker.work(took_s)
            # The last reply was heard within this frame, so what little time is left tells nothing of a dead link.
            looks.append((yield from self._look(attempt, len(looks), took_s, silent_since_s=attempt.begun_s)))
        self._by_cluster(attempt, looks)

    def _beside(self, attempt: _Attempt, first: simpy.Process) -> Steps:
        """Have the device answer while the first look may still be answered too; whichever is first counts."""
        local_s = self._takes_s(self._tables.device_s, self._local)
        local = self._worker.work(local_s)
        if _ended(first) is None:
            yield local | first
        look = _ended(first)
        certain = self._tables.looks[attempt.row, attempt.frame % self._tables.frames] <= 1
        if certain and look is not None and look.reply.fallback is None and not local.processed:
            self._by_cluster(attempt, [look], local_s=self._worker.stop())
            return
        if not local.processed:
            yield local
        self._costs.note_device(self._tables.options[self._local].id, local_s)
        if first.is_alive:
            first.interrupt()
        look = _ended(first) or cast(_Look, (yield first))
        self._note_device(attempt, [look])
        self._note(attempt, "device", [look], look.reply.fallback or "doubt", worked_s=look.device_s + local_s)

    def _first_look(self, attempt: _Attempt) -> Generator[Event, Any, _Look]:
        took_s = self._takes_s(self._tables.device_s, attempt.row)
        yield self._worker.work(took_s)
        return (yield from self._look(attempt, 0, took_s))

    def _look(
        self, attempt: _Attempt, look: int, device_s: float, *, silent_since_s: float | None = None
    ) -> Generator[Event, Any, _Look]:
        sending_s = self._env.now
        size_bytes = float(self._tables.sent_bytes[attempt.row, attempt.frame % self._tables.frames, look])
        reply = yield from self.transport.exchange(
            attempt.row, size_bytes, until_s=attempt.patience.until_s, silent_since_s=silent_since_s
        )
        return _Look(reply, device_s, self._env.now - sending_s)

    def _needs_another(self, attempt: _Attempt, looks: list[_Look]) -> bool:
        """Tell whether the frame took another look when it was measured, and there is time for it."""
        if looks[-1].reply.fallback is not None or self.transport.is_down:
            return False
        if len(looks) >= self._tables.looks[attempt.row, attempt.frame % self._tables.frames]:
            return False
        return attempt.patience.until_s - self._env.now >= looks[-1].exchange_s

    def _by_cluster(self, attempt: _Attempt, looks: list[_Look], *, local_s: float = 0.0) -> None:
        self._note_device(attempt, looks)
        sent_bytes = round(sum(look.reply.sent_bytes for look in looks))
        self._costs.note_sent(attempt.decision.option_id, sent_bytes, len(looks))
        self._note(attempt, "cluster", looks, None, worked_s=sum(look.device_s for look in looks) + local_s)

    def _note_device(self, attempt: _Attempt, looks: list[_Look]) -> None:
        self._costs.note_device(attempt.decision.option_id, sum(look.device_s for look in looks))

    def _note(
        self,
        attempt: _Attempt,
        where: Literal["cluster", "device"],
        looks: list[_Look],
        fallback: str | None,
        *,
        worked_s: float,
    ) -> None:
        sent_bytes = sum(look.reply.sent_bytes for look in looks)
        moved_bytes = sent_bytes + sum(look.reply.received_bytes for look in looks)
        latency_s = self._env.now - attempt.due_s
        self.answers.append(
            VirtualFrame(
                frame=attempt.frame,
                due_s=attempt.due_s,
                row=attempt.row,
                where=where,
                fallback=fallback,
                latency_s=latency_s,
                predicted_s=attempt.decision.prediction.total_s,
                looks=len(looks),
                sent_bytes=sent_bytes,
                moved_bytes=moved_bytes,
                energy_j=self._spend(worked_s, moved_bytes),
                in_time=latency_s <= self._deadline_s,
            )
        )

    def _spend(self, worked_s: float, moved_bytes: float) -> float:
        transfer_s = moved_bytes * self.transport.link.view(self._env.now).s_per_byte
        energy_j = self._device.energy.frame_j(worked_s, moved_bytes, transfer_s)
        probed_bytes = self.transport.probe_bytes - self._spent_probe_bytes
        self._spent_probe_bytes += probed_bytes
        self.decider.spend(moved_bytes + probed_bytes, energy_j)
        return energy_j

    def _takes_s(self, measured_s: Any, row: int) -> float:
        return self._worker.takes_s(float(measured_s[row]))

    def _probed_point(self) -> PointName | None:
        """Give the point to knock at while the link is down; None if nothing is ever sent."""
        policy, points = self._device.rules.policy, self.decider.table.points
        if policy.kind == "device-only" or not points:
            return None
        return policy.point if policy.point in points else points[0]


def _ended(first: simpy.Process) -> _Look | None:
    """Give the look that a process was for, once it has come to an end."""
    return cast(_Look, first.value) if first.processed else None
