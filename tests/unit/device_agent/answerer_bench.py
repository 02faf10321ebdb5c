"""One answerer over a link and a device that are held until a test lets them go."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf

from agent_fakes import PICTURE, FakeHead, FakeTransport, load, load_bundle, make_decider, option, result

from device_agent.answer import FrameAnswer
from device_agent.answerer import Answerer
from device_agent.decider import Decider
from device_agent.frame_feed import DueFrame
from device_agent.patience import Patience
from device_agent.policy import parse_policy
from device_agent.reply import NoReply, Reply
from device_agent.rules import Constraints, Rules
from wire.manifest import Refinement

SENT, WHOLE = option(1, "mid/r", bytes_mean=400), option(2, "output/whole")
REFINED = replace(
    option(3, "mid/refined", bytes_mean=4_000), coder="rans", tables="fine.npy", gains="fine-gains.npy",
    refinements=(Refinement(0.25, "fine-by-coarse.npy", "fine-gains.npy"),),
)  # fmt: skip
"""Larger and slower than the other one, so that it is not chosen by itself."""
PIXELS = replace(option(4, "input/raw", bytes_mean=40_000), device_graph=None, coder="jpeg")
OPTIONS = (SENT, WHOLE, REFINED, PIXELS)
LOAD = load("mid")
REPLY = Reply(result(SENT.id, 0, (0.9, 0.1), of_load=LOAD), 300, received_bytes=50, round_trip_s=0.01, message_s=0.0)
WAIT_S = 20.0


class HeldTransport(FakeTransport):
    """Replies when a test says so."""

    def __init__(self) -> None:
        super().__init__(LOAD)
        self.asked = asyncio.Event()
        self.reply: asyncio.Future[Reply | NoReply] = asyncio.get_running_loop().create_future()
        self.until_s = 0.0
        self.given_up = False

    async def exchange(self, point, option_id, frame_id, bitstream, *, until_s, silent_since_s=None):
        self.until_s = until_s
        self.asked.set()
        return await self.reply

    def give_up(self, frame_id):
        self.given_up = True
        if not self.reply.done():
            self.reply.set_result(NoReply("late", 300))


class Bench:
    """One answerer over a held link and a held device, whose device begins alone ``alone_after_s`` from now."""

    def __init__(self, folder, worker, monkeypatch, *, alone_after_s=inf, policy="fixed:mid", **changes) -> None:
        self.head = FakeHead(WHOLE)
        self.transport = HeldTransport()
        loaded = load_bundle(folder, OPTIONS, self.head, {SENT.id: 0.022, REFINED.id: 0.030, WHOLE.id: 0.050})
        constraints = Constraints(deadline_s=changes.pop("deadline_s", WAIT_S))
        every_s = changes.pop("live_every_s", 0.0)
        rules = Rules(policy=parse_policy(policy), constraints=constraints, live_every_s=every_s)
        self.transport.link = changes.pop("link", self.transport.link)
        link, cluster = self.transport.link, self.transport.cluster
        self.decider: Decider = make_decider(OPTIONS, loaded.costs, rules, link=link, cluster=cluster, **changes)
        self.answerer = Answerer(loaded, self.transport, worker, self.decider)
        self.asked_patience: dict[str, float] = {}

        def patience(**asked: float) -> Patience:
            self.asked_patience = asked
            now_s = time.monotonic()
            return Patience(now_s + alone_after_s, now_s + 2 * WAIT_S)

        monkeypatch.setattr("device_agent.answerer.patience", patience)

    async def answer(self, *, due_ago_s: float = 0.0) -> FrameAnswer:
        frame = DueFrame(frame_id=7, pixels=PICTURE, due_s=time.monotonic() - due_ago_s)
        async with asyncio.timeout(WAIT_S):
            return await self.answerer.answer(frame)

    @asynccontextmanager
    async def both_at_work(self):
        """Give the task of an answer that the cluster was asked for, and that the device has begun too."""
        self.head.let_go.clear()
        answering = asyncio.create_task(self.answer())
        try:
            async with asyncio.timeout(WAIT_S):
                await self.transport.asked.wait()
                assert await asyncio.to_thread(self.head.answering.wait, WAIT_S)
            yield answering
        finally:
            self.head.let_go.set()
            await asyncio.gather(answering, return_exceptions=True)
