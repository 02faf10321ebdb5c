import asyncio
import threading
import time
from dataclasses import replace

import pytest
from agent_fakes import load, result
from answerer_bench import LOAD, REFINED, REPLY, SENT, WHOLE

from device_agent.kalman_link import KalmanLink
from device_agent.link_view import LinkView
from device_agent.reply import NoReply
from wire.errors import BundleError

UNCERTAIN = KalmanLink(LinkView(base_s=0.001, s_per_byte=2e-5))
"""As a first guess is, so that the cluster's answer may well be the later one."""


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
    # The head ran, and its message was sent, before the device was sooner.
    assert (answer.looks, answer.sent_bytes) == (1, 300)
    assert answer.parts.device > 0


async def test_a_device_that_was_sooner_in_a_race_says_so(make_bench):
    bench = make_bench(alone_after_s=0.0, policy="auto", link=UNCERTAIN)
    bench.transport.cluster.note_loads([load("mid", service_s=0.003, queue_s=0.0)], now_s=time.monotonic())
    async with bench.both_at_work() as answering:
        assert bench.asked_patience["races"]
        bench.head.let_go.set()
        answer = await answering
    assert (answer.label, answer.where, answer.fallback) == ("owl", "device", "outrun")
    assert (answer.planned, answer.looks) == (SENT, 1)


async def test_a_policy_that_does_not_choose_does_not_race(make_bench):
    bench = make_bench(alone_after_s=0.0, link=UNCERTAIN)
    async with bench.both_at_work() as answering:
        assert not bench.asked_patience["races"]
        bench.head.let_go.set()
        assert (await answering).fallback == "late"


async def test_a_link_that_goes_down_lets_the_device_begin_at_once(make_bench):
    bench = make_bench()
    answering = asyncio.create_task(bench.answer())
    await bench.transport.asked.wait()
    bench.transport.down.set()
    assert (await answering).where == "device"


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
    # Or the head of the next frame would wait for it.
    assert bench.head.stopped == 1


UNSURE = replace(REPLY, result=result(REFINED.id, 0, (0.5, 0.4), of_load=LOAD))


async def test_an_answer_in_doubt_that_comes_while_the_device_works_does_not_count(make_bench):
    bench = make_bench(alone_after_s=0.0, policy="fixed:mid/refined")
    async with bench.both_at_work() as answering:
        bench.transport.reply.set_result(UNSURE)
        await asyncio.sleep(0.005)
        assert not answering.done()
        bench.head.let_go.set()
        answer = await answering
    assert (answer.label, answer.where, answer.fallback) == ("owl", "device", "doubt")
    assert (answer.option, answer.planned) == (WHOLE, REFINED)
    assert (answer.looks, answer.sent_bytes, answer.moved_bytes) == (1, 300, 350)
    assert bench.head.runs == {"head": 1, "refine": 0, "whole": 1}
    assert bench.head.stopped == 0


async def test_an_answer_without_doubt_counts_though_the_option_could_be_refined(make_bench):
    bench = make_bench(alone_after_s=0.0, policy="fixed:mid/refined")
    async with bench.both_at_work() as answering:
        bench.transport.reply.set_result(REPLY)
        answer = await answering
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)
    assert bench.head.stopped == 1


async def test_an_uncertain_answer_counts_where_the_option_has_no_further_look(make_bench):
    bench = make_bench(alone_after_s=0.0)
    async with bench.both_at_work() as answering:
        bench.transport.reply.set_result(UNSURE)
        answer = await answering
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)


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


async def test_a_live_source_is_answered_sooner_but_in_time_by_the_deadline_that_the_user_gave(make_bench):
    bench = make_bench(deadline_s=0.5, live_every_s=0.05)
    bench.transport.reply.set_result(REPLY)
    answer = await bench.answer(due_ago_s=0.2)
    assert bench.asked_patience["deadline_s"] == pytest.approx(0.1)
    assert answer.in_time


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


async def test_a_graph_that_cannot_be_run_is_no_reason_to_wait(make_bench, monkeypatch):
    bench = make_bench()

    def fail(option, pixels):
        raise BundleError("a graph is broken", mend="make the bundle again")

    monkeypatch.setattr(bench.head, "encode", fail)
    with pytest.raises(BundleError, match="broken"):
        await bench.answer()


async def test_a_graph_that_breaks_while_the_device_works_leaves_no_task_behind(make_bench, monkeypatch):
    bench = make_bench(alone_after_s=0.0)
    breaks = threading.Event()

    def fail(option, pixels):
        assert breaks.wait(5.0)
        raise BundleError("a graph is broken", mend="make the bundle again")

    monkeypatch.setattr(bench.head, "encode", fail)
    bench.head.let_go.clear()
    answering = asyncio.create_task(bench.answer())
    await asyncio.sleep(0.01)
    breaks.set()
    with pytest.raises(BundleError, match="broken"):
        await answering
    assert asyncio.all_tasks() == {asyncio.current_task()}
