import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from math import inf

import pytest
from agent_fakes import PICTURE, FakeHead, FakeTransport, load, load_bundle, make_decider, option, result

from device_agent.allowance import Allowance
from device_agent.answer import FrameAnswer
from device_agent.answerer import Answerer
from device_agent.decider import Decider
from device_agent.energy import EnergyModel
from device_agent.frame_feed import DueFrame
from device_agent.patience import Patience
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules
from device_agent.transport import NoReply, Reply
from wire.errors import BundleError

SENT, WHOLE = option(1, "mid/r", bytes_mean=400), option(2, "output/whole")
OPTIONS = (SENT, WHOLE)
LOAD = load("mid")
REPLY = Reply(result(SENT.id, 0, (0.9, 0.1), of_load=LOAD), 300, received_bytes=50, round_trip_s=0.01, message_s=0.0)
WAIT_S = 20.0
NOTHING_PER_HOUR = 1e-6
"""So little that what is left is what was spent."""


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
        try:
            return await self.reply
        except asyncio.CancelledError:
            self.given_up = True
            raise


class Bench:
    """One answerer over a held link and a held device, whose device begins alone ``alone_after_s`` from now."""

    def __init__(self, folder, worker, monkeypatch, *, alone_after_s=inf, policy="fixed:mid", **changes) -> None:
        self.head = FakeHead(WHOLE)
        self.transport = HeldTransport()
        loaded = load_bundle(folder, OPTIONS, self.head, {SENT.id: 0.022, WHOLE.id: 0.050})
        constraints = Constraints(deadline_s=changes.pop("deadline_s", WAIT_S))
        rules = Rules(policy=parse_policy(policy), constraints=constraints)
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


@pytest.fixture
def make_bench(tmp_path, monkeypatch):
    with ThreadPoolExecutor(1) as worker:
        yield lambda **changes: Bench(tmp_path, worker, monkeypatch, **changes)


async def test_the_device_begins_alone_while_the_cluster_may_still_answer(make_bench):
    bench = make_bench(alone_after_s=0.0)
    async with bench.both_at_work() as answering:
        assert not answering.done()
        assert not bench.transport.given_up
        assert bench.transport.until_s > time.monotonic()


async def test_the_devices_answer_counts_if_it_is_first_and_the_exchange_is_given_up(make_bench):
    bench = make_bench(alone_after_s=0.0)
    async with bench.both_at_work() as answering:
        bench.head.let_go.set()
        answer = await answering
    assert (answer.label, answer.where, answer.fallback) == ("owl", "device", "late")
    assert (answer.option, answer.planned) == (WHOLE, SENT)
    assert bench.transport.given_up


async def test_the_clusters_answer_counts_if_it_comes_while_the_device_works(make_bench):
    bench = make_bench(alone_after_s=0.0)
    async with bench.both_at_work() as answering:
        bench.transport.reply.set_result(REPLY)
        answer = await answering
        assert not bench.head.let_go.is_set()
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)
    assert (answer.looks, answer.sent_bytes, answer.moved_bytes) == (1, 300, 350)
    assert answer.parts.local > 0
    assert bench.head.runs == {"head": 1, "refine": 0, "whole": 1}


async def test_a_cluster_that_gives_up_while_the_device_works_says_why_the_device_answered(make_bench):
    bench = make_bench(alone_after_s=0.0)
    async with bench.both_at_work() as answering:
        bench.transport.reply.set_result(NoReply("refused:deadline_exceeded", 300, 20))
        await asyncio.sleep(0.005)
        assert not answering.done()
        bench.head.let_go.set()
        answer = await answering
    assert (answer.label, answer.fallback) == ("owl", "refused:deadline_exceeded")
    assert (answer.looks, answer.moved_bytes) == (1, 320)
    assert bench.head.runs["whole"] == 1


@pytest.mark.parametrize("fallback", ["refused:overloaded", "link_down", "late"])
async def test_what_is_refused_or_lost_is_answered_by_the_device_at_once(make_bench, fallback):
    bench = make_bench()
    bench.transport.reply.set_result(NoReply(fallback, 300, 20))
    answer = await bench.answer()
    assert (answer.label, answer.where, answer.fallback) == ("owl", "device", fallback)
    assert (answer.looks, answer.sent_bytes, answer.moved_bytes) == (1, 300, 320)


async def test_a_plan_that_gave_way_to_a_dead_link_says_so_and_a_plan_of_the_device_alone_does_not(make_bench):
    for policy, fallback in (("fixed:mid", "link_down"), ("device-only", None)):
        bench = make_bench(policy=policy)
        bench.transport.down.set()
        answer = await bench.answer()
        assert (answer.label, answer.fallback, answer.looks) == ("owl", fallback, 0)
        assert not bench.transport.asked.is_set()


async def test_patience_is_asked_with_the_deadline_from_when_the_frame_was_due_and_with_the_plan(make_bench):
    bench = make_bench(deadline_s=0.25)
    bench.transport.reply.set_result(REPLY)
    answer = await bench.answer(due_ago_s=5.0)
    asked = bench.asked_patience
    assert (asked["deadline_s"], asked["local_s"]) == (0.25, 0.050)
    assert (asked["device_s"], asked["predicted_s"]) == (answer.predicted.device_s, answer.predicted.total_s)
    assert asked["begun_s"] - asked["due_s"] >= 5.0
    assert not answer.in_time


async def test_a_frame_is_in_time_within_its_deadline(make_bench):
    bench = make_bench()
    bench.transport.reply.set_result(REPLY)
    assert (await bench.answer()).in_time


async def test_bytes_and_joules_are_spent_from_the_allowances(make_bench):
    left = {name: Allowance(NOTHING_PER_HOUR, now_s=0.0) for name in ("bytes_left", "joules_left")}
    bench = make_bench(energy=EnergyModel(extra_w=2.0, alpha_w_per_mbps=0.5), **left)
    bench.transport.reply.set_result(REPLY)
    answer = await bench.answer()
    assert answer.energy_j == pytest.approx(2.0 * 0.022 + 0.5 * 8e-6 * 350)
    assert answer.broken == ("energy", "bytes")
    now_s = time.monotonic()
    assert left["bytes_left"].left(now_s) == pytest.approx(-350, abs=0.01)
    assert left["joules_left"].left(now_s) == pytest.approx(-answer.energy_j, abs=0.001)


async def test_the_devices_own_answer_costs_joules_on_top_of_the_head(make_bench):
    bench = make_bench(energy=EnergyModel(extra_w=2.0))
    bench.transport.reply.set_result(NoReply("link_down"))
    answer = await bench.answer()
    assert answer.energy_j == pytest.approx(2.0 * (0.022 + answer.parts.local))


async def test_what_probes_moved_between_two_frames_is_spent_once(make_bench):
    left = Allowance(NOTHING_PER_HOUR, now_s=0.0)
    bench = make_bench(bytes_left=left)
    bench.transport.reply.set_result(REPLY)
    bench.transport.probe_bytes += 2064
    for spent in (350 + 2064, 2 * 350 + 2064):
        answer = await bench.answer()
        assert answer.moved_bytes == 350
        assert left.left(time.monotonic()) == pytest.approx(-spent, abs=0.01)


async def test_a_graph_that_cannot_be_run_is_no_reason_to_wait(make_bench, monkeypatch):
    bench = make_bench()

    def fail(option, pixels):
        raise BundleError("a graph is broken", mend="make the bundle again")

    monkeypatch.setattr(bench.head, "encode", fail)
    with pytest.raises(BundleError, match="broken"):
        await bench.answer()
