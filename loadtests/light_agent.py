"""One light agent: the real agent's decisions on prepared bitstreams, with its device's work as timers.

Follows ``device_agent.answerer`` step by step, as the agent in virtual time does: one frame at a time, the head, the
looks, the device's own answer beside a late one. Its ``Decider`` is the real one. It opens the same streams, pings them
and reads the published load as often; it does not swap bundles.
"""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.decider import Decider
from device_agent.energy import EnergyModel
from device_agent.link_estimate import make_link
from device_agent.look import leaves_doubt
from device_agent.option_costs import OptionCosts
from device_agent.patience import Patience, patience
from device_agent.prober import LOADS_AT_LEAST_EVERY_S, LOADS_EVERY_S
from device_agent.rules import Rules
from loadtests.light_clip import LightClip
from loadtests.light_device import LightDevice, LightWorker
from loadtests.light_frame import SKIPPED, LightFrame, Where
from loadtests.light_socket import LightReply
from loadtests.light_stream import OpenStreams
from wire.bundle import Bundle
from wire.ids import DeviceId
from wire.manifest import Option
from wire.messages import LoadSignal, Reject, Result

FetchLoads = Callable[[], Awaitable[Iterable[LoadSignal]]]
"""Asks the cluster for its load signals; gives none where it does not answer."""


@dataclass(slots=True)
class _Attempt:
    frame: int
    due_s: float
    option: Option
    patience: Patience
    sent_bytes: int = 0
    received_bytes: int = 0
    looks: int = 0
    busy_s: float = 0.0
    refusal: str = ""


class LightAgent:
    """Answers a clip's frames at a rate, from when it is told until it is told; ``frames`` is what became of them."""

    def __init__(
        self,
        number: int,
        *,
        bundle: Bundle,
        clip: LightClip,
        device: LightDevice,
        rules: Rules,
        streams: OpenStreams,
        fetch_loads: FetchLoads,
        loads: Iterable[LoadSignal],
    ) -> None:
        self.frames: list[LightFrame] = []
        self._number, self._bundle, self._clip, self._device = number, bundle, clip, device
        self._rules = rules
        options = bundle.manifest.options
        self._costs = OptionCosts(options, device.option_s)
        self._cluster = ClusterView()
        link = make_link(rules.policy.link_estimate)
        now_s = time.monotonic()
        self._cluster.note_loads(loads, now_s=now_s)
        self._decider = Decider(
            options=options,
            costs=self._costs,
            link=link,
            cluster=self._cluster,
            rules=rules,
            energy=EnergyModel(),
            bytes_left=Allowance(rules.constraints.bytes_per_hour, now_s=now_s),
            joules_left=Allowance(rules.constraints.joules_per_hour, now_s=now_s),
            seed=zlib.crc32(f"light-{number}".encode()),
        )
        self.streams = streams(DeviceId(f"light-{number}"), link=link, cluster=self._cluster)
        self._sends = rules.policy.kind != "device-only"
        self._fetch_loads = fetch_loads
        self._worker = LightWorker()

    @property
    def switches(self) -> int:
        """How often the option was another than that of the frame before."""
        return self._decider.switches

    async def run(self, *, fps: float, began_s: float, first_due_s: float, until_s: float, give_up_s: float) -> None:
        """Answer each frame that falls due before ``until_s``; what is not begun by ``give_up_s`` nobody answers.

        All times are on the monotonic clock; ``began_s`` is that of the run. A live agent skips what a newer frame has
        overtaken, as the agent's ``--live`` does.
        """
        points = self._decider.table.points
        probing = [self._keep_loads(), self.streams.keep_pinging(points[0])] if self._sends and points else []
        background = [asyncio.create_task(work) for work in probing]
        try:
            number = 0
            while (due_s := first_due_s + number / fps) < until_s:
                now_s = time.monotonic()
                if due_s > now_s:
                    await asyncio.sleep(due_s - now_s)
                elif (overtaken := self._rules.live_every_s > 0 and due_s + 1 / fps <= now_s) or now_s >= give_up_s:
                    reason = SKIPPED if overtaken else ""
                    lost = LightFrame(self._number, due_s - began_s, now_s - due_s, "nobody", "", reason, 0, 0, 0, 0.0)
                    self.frames.append(lost)
                    number += 1
                    continue
                self.frames.append((await self._answer(number, due_s))._replace(due_s=due_s - began_s))
                self._look_at_sizes(number)
                number += 1
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await self.streams.close()

    def _look_at_sizes(self, number: int) -> None:
        """Between two frames, see how large the last one would have been as a picture, if it is time to."""
        now_s = time.monotonic()
        for option in self._decider.wants_sizes(now_s):
            self._worker.work(self._device.option_s[option.id], now_s=now_s)
            self._costs.note_size(option.id, len(self._clip.look(option.id, number, 0)))

    async def _answer(self, number: int, due_s: float) -> LightFrame:
        begun_s = time.monotonic()
        decision = self._decider.decide(
            due_s=due_s,
            now_s=begun_s,
            activity=self._clip.activity[number % self._clip.frames],
            link_up=self.streams.is_up,
            opened=self.streams.opened,
        )
        if decision.ahead is not None and self.streams.is_up:
            self.streams.knock(self._bundle.option(decision.ahead).point)
        waits = patience(
            due_s=due_s,
            begun_s=begun_s,
            deadline_s=self._rules.waits_s,
            local_s=self._decider.local_s(),
            device_s=decision.prediction.device_s,
            predicted_s=decision.prediction.total_s,
            races=decision.prediction.races,
        )
        attempt = _Attempt(number, due_s, self._bundle.option(decision.option_id), waits)
        if attempt.option.coder == "none":
            return await self._alone(attempt)
        takes_s = self._device.option_s[attempt.option.id]
        await _until(self._worker.work(takes_s, now_s=begun_s))
        self._costs.note_device(attempt.option.id, takes_s)
        return await self._with_cluster(attempt)

    async def _with_cluster(self, attempt: _Attempt) -> LightFrame:
        waiting = await self._send(attempt, 0)
        while waiting is not None:
            first = attempt.looks == 1
            # A further look holds an answer already, so the device does not begin its own.
            waited_s = attempt.patience.alone_from_s if first else attempt.patience.until_s
            reply = await _reply(waiting, until_s=waited_s)
            if reply is None:
                if not first:
                    return self._by_cluster(attempt)
                return await self._beside(attempt, waiting)
            result = self._note_reply(attempt, reply)
            if result is None:
                return self._by_cluster(attempt) if not first else await self._alone(attempt)
            if not self._needs_another(attempt, result):
                return self._by_cluster(attempt)
            begun_s = time.monotonic()
            await _until(self._worker.work(self._refine_s(attempt), now_s=begun_s))
            waiting = await self._send(attempt, attempt.looks)
            if waiting is None:
                return self._by_cluster(attempt)
        attempt.refusal = attempt.refusal or "cut"
        return await self._alone(attempt)

    async def _beside(self, attempt: _Attempt, waiting: "asyncio.Future[LightReply]") -> LightFrame:
        """Have the device answer while the reply may still come; whichever is first counts, if it is certain."""
        local_end_s = self._worker.work(self._device.local_s, now_s=time.monotonic())
        reply = await _reply(waiting, until_s=local_end_s)
        if reply is not None:
            result = self._note_reply(attempt, reply)
            if result is not None and not self._doubted(attempt, result):
                self._worker.stop(now_s=time.monotonic())
                return self._by_cluster(attempt)
            await _until(local_end_s)
        else:
            attempt.refusal = "late"
            self.streams.give_up(attempt.option.point, attempt.frame, now_s=time.monotonic())
        self._costs.note_device(self._device.local_id, self._device.local_s)
        return self._made(attempt, "device")

    async def _alone(self, attempt: _Attempt) -> LightFrame:
        await _until(self._worker.work(self._device.local_s, now_s=time.monotonic()))
        self._costs.note_device(self._device.local_id, self._device.local_s)
        return self._made(attempt, "device")

    async def _send(self, attempt: _Attempt, look: int) -> "asyncio.Future[LightReply] | None":
        bitstream = self._clip.look(attempt.option.id, attempt.frame, look)
        sent = await self.streams.exchange(
            attempt.option.point, attempt.option.id, attempt.frame, bitstream, until_s=attempt.patience.until_s
        )
        if sent is None:
            return None
        attempt.looks += 1
        attempt.sent_bytes += sent[1]
        return sent[0]

    def _note_reply(self, attempt: _Attempt, reply: LightReply) -> Result | None:
        attempt.received_bytes += reply.received_bytes
        match reply.message:
            case Result(timings=timings, batch_size=batch) as result:
                attempt.busy_s += timings.decode_s + timings.compute_s / batch
                return result
            case Reject(code=code):
                attempt.refusal = code
            case None:
                attempt.refusal = "cut"
        return None

    def _doubted(self, attempt: _Attempt, result: Result) -> bool:
        refinements = attempt.option.refinements
        return attempt.looks <= len(refinements) and leaves_doubt(result, refinements[attempt.looks - 1])

    def _needs_another(self, attempt: _Attempt, result: Result) -> bool:
        left_s = attempt.patience.until_s - time.monotonic()
        return self._doubted(attempt, result) and left_s >= result.timings.total_s + self._refine_s(attempt)

    def _refine_s(self, attempt: _Attempt) -> float:
        return self._device.slowdown * self._clip.refine_s[attempt.option.id]

    def _by_cluster(self, attempt: _Attempt) -> LightFrame:
        self._costs.note_sent(attempt.option.id, attempt.sent_bytes, attempt.looks)
        attempt.refusal = ""
        return self._made(attempt, "cluster")

    def _made(self, attempt: _Attempt, where: Where) -> LightFrame:
        self._decider.spend(attempt.sent_bytes + attempt.received_bytes, 0.0)
        latency_s = time.monotonic() - attempt.due_s
        name = f"{attempt.option.point}/{attempt.option.rate}"
        return LightFrame(
            self._number, attempt.due_s, latency_s, where, name, attempt.refusal, attempt.sent_bytes,
            attempt.received_bytes, attempt.looks, attempt.busy_s,
        )  # fmt: skip

    async def _keep_loads(self) -> None:
        """Read the load of the points that no frame visits, as often as the agent's prober does."""
        wait_s = LOADS_EVERY_S
        while True:
            await asyncio.sleep(wait_s)
            loads = tuple(await self._fetch_loads())
            self._cluster.note_loads(loads, now_s=time.monotonic())
            busy = any(load.queue_s > load.service_s for load in loads)
            wait_s = LOADS_EVERY_S if busy else min(2 * wait_s, LOADS_AT_LEAST_EVERY_S)


async def _until(at_s: float) -> None:
    await asyncio.sleep(max(at_s - time.monotonic(), 0.0))


async def _reply(waiting: "asyncio.Future[LightReply]", *, until_s: float) -> LightReply | None:
    """Wait for a reply, which stays to be waited for again; None when the time is up."""
    if not waiting.done():
        await asyncio.wait((waiting,), timeout=max(until_s - time.monotonic(), 0.0))
    return waiting.result() if waiting.done() else None
