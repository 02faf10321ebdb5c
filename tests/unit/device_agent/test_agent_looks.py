import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from agent_fakes import PICTURE, FakeHead, FakeTransport, load, load_bundle, make_decider, option, result

from device_agent.answerer import Answerer
from device_agent.frame_feed import DueFrame
from device_agent.look import leaves_doubt
from device_agent.option_costs import LOOKS_WEIGHT, OWN_WEIGHT, STALL_S, WEIGHT
from device_agent.policy import Policy
from device_agent.reply import NoReply, Reply
from device_agent.rules import Constraints, Rules
from wire.manifest import Refinement

ONE_LOOK = replace(option(2, "mid/fine", bytes_mean=400), coder="rans", tables="fine.npy", gains="fine-gains.npy")
THREE_LOOKS = replace(
    option(1, "mid/coarse+middle+fine", bytes_mean=400, looks=1.4), coder="rans", tables="fine.npy",
    gains="fine-gains.npy",
    refinements=(
        Refinement(0.25, "middle-by-coarse.npy", "middle-gains.npy"),
        Refinement(0.15, "fine-by-middle.npy", "fine-gains.npy"),
    ),
)  # fmt: skip
WHOLE = option(3, "output/whole")
OPTIONS = (THREE_LOOKS, ONE_LOOK, WHOLE)
LOAD = load("mid")
SYMBOLS = np.zeros((3, 8, 8), np.float32)
SURE, HALF_SURE, UNSURE = (0.7, 0.2, 0.1), (0.5, 0.3, 0.2), (0.4, 0.3, 0.3)
"""They lead by 0.5, by 0.2, which is enough for the last refinement alone, and by 0.1."""


def reply(label: int, scores: tuple[float, ...], sent_bytes: int) -> Reply:
    heard = result(THREE_LOOKS.id, label, scores, of_load=LOAD)
    return Reply(heard, sent_bytes, received_bytes=50, round_trip_s=0.01, message_s=0.001)


class AnsweringTransport(FakeTransport):
    """Gives the replies of a test, each as late as it says."""

    def __init__(self, *replies: Reply | NoReply) -> None:
        super().__init__(LOAD)
        self.takes_s = [0.010, 0.010, 0.010]
        self.dies_after: int | None = None
        self._replies = list(replies)

    async def exchange(self, point, option_id, frame_id, bitstream, *, until_s, silent_since_s=None):
        assert point == ONE_LOOK.point
        assert until_s > time.monotonic()
        # A further look was preceded by a reply: the silence of what time is left must not count as a dead link.
        assert (silent_since_s is None) == (not self.sent)
        self.sent.append((option_id, frame_id, bitstream))
        await asyncio.sleep(self.takes_s[len(self.sent) - 1])
        if len(self.sent) == self.dies_after:
            self.down.set()
        return self._replies.pop(0)


@pytest.fixture
def loaded(tmp_path):
    return load_bundle(tmp_path, OPTIONS, FakeHead(WHOLE, SYMBOLS), {THREE_LOOKS.id: 0.022})


async def answered(loaded, transport, *, rate=THREE_LOOKS.rate, deadline_s=1.0):
    rules = Rules(policy=Policy("fixed", ONE_LOOK.point, rate), constraints=Constraints(deadline_s=deadline_s))
    decider = make_decider(OPTIONS, loaded.costs, rules, link=transport.link, cluster=transport.cluster)
    frame = DueFrame(frame_id=7, pixels=PICTURE, due_s=time.monotonic())
    with ThreadPoolExecutor(1) as worker:
        return await Answerer(loaded, transport, worker, decider).answer(frame)


def looks_of(loaded) -> float:
    return loaded.costs.looks[loaded.costs.row(THREE_LOOKS.id)]


async def test_a_certain_answer_is_the_only_look(loaded):
    transport = AnsweringTransport(reply(0, SURE, 300))
    answer = await answered(loaded, transport)
    assert transport.sent == [(THREE_LOOKS.id, 7, b"look 0")]
    assert (answer.label, answer.looks, answer.sent_bytes, answer.fallback) == ("cat", 1, 300, None)
    assert answer.parts.code == 0.002
    assert looks_of(loaded) == pytest.approx(1.4 - LOOKS_WEIGHT * 0.4)


async def test_an_answer_that_stays_uncertain_is_refined_as_often_as_the_option_can(loaded):
    transport = AnsweringTransport(reply(0, UNSURE, 300), reply(0, UNSURE, 400), reply(1, UNSURE, 500))
    answer = await answered(loaded, transport)
    assert transport.sent == [(THREE_LOOKS.id, 7, b"look %d" % look) for look in range(3)]
    assert (answer.label, answer.where, answer.fallback, answer.looks) == ("dog", "cluster", None, 3)
    assert (answer.option, answer.planned) == (THREE_LOOKS, THREE_LOOKS)
    assert loaded.head.runs == {"head": 1, "refine": 2, "whole": 0}


@pytest.mark.parametrize("second", [SURE, HALF_SURE])
async def test_looks_end_with_the_first_answer_that_the_next_refinement_has_no_doubt_of(loaded, second):
    transport = AnsweringTransport(reply(0, HALF_SURE, 300), reply(1, second, 400))
    answer = await answered(loaded, transport)
    assert [bitstream for *_, bitstream in transport.sent] == [b"look 0", b"look 1"]
    assert (answer.label, answer.looks, answer.sent_bytes) == ("dog", 2, 700)


async def test_what_the_looks_took_is_added_up(loaded):
    transport = AnsweringTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400), reply(1, SURE, 500))
    answer = await answered(loaded, transport)
    assert (answer.looks, answer.sent_bytes, answer.moved_bytes) == (3, 1200, 1350)
    assert answer.look_bytes == (300, 400, 500)
    assert answer.parts.device == 0.020
    assert answer.parts.code == pytest.approx(0.008)
    assert answer.parts.cluster == pytest.approx(0.012)
    assert answer.parts.link >= 0.017
    assert answer.overhead_s >= 0.011
    assert looks_of(loaded) == pytest.approx(1.4 + LOOKS_WEIGHT * 1.6)
    slower = (0.028 / 0.022 - 1) * 0.022 / (0.022 + STALL_S)
    took_s = loaded.costs.device_s[loaded.costs.row(THREE_LOOKS.id)]
    assert took_s == pytest.approx(0.022 * (1 + WEIGHT * slower) * (1 + OWN_WEIGHT * slower))


LOST = [NoReply("late", 900), NoReply("refused:look_missing", 900), NoReply("link_down")]


@pytest.mark.parametrize("lost", LOST)
async def test_the_first_answer_stands_when_the_second_look_fails(loaded, lost):
    transport = AnsweringTransport(reply(0, UNSURE, 300), lost)
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)
    assert (answer.looks, answer.sent_bytes) == (2, 300 + lost.sent_bytes)
    assert answer.parts.cluster == pytest.approx(0.004)
    assert loaded.head.runs == {"head": 1, "refine": 1, "whole": 0}


@pytest.mark.parametrize("lost", LOST)
async def test_the_answer_before_it_stands_when_the_last_look_fails(loaded, lost):
    transport = AnsweringTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400), lost)
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback) == ("dog", "cluster", None)
    assert (answer.looks, answer.sent_bytes) == (3, 700 + lost.sent_bytes)
    assert answer.parts.cluster == pytest.approx(0.008)
    assert loaded.head.runs["whole"] == 0


@pytest.mark.parametrize(
    ("takes_s", "label", "looks"), [([0.3], "cat", 1), ([0.01, 0.3], "dog", 2)], ids=["second", "third"]
)
async def test_a_look_is_not_begun_when_less_time_is_left_than_the_last_exchange_took(loaded, takes_s, label, looks):
    transport = AnsweringTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400))
    transport.takes_s = takes_s
    answer = await answered(loaded, transport, deadline_s=0.5)
    assert (answer.label, answer.looks, answer.fallback) == (label, looks, None)
    assert loaded.head.runs == {"head": 1, "refine": looks - 1, "whole": 0}


@pytest.mark.parametrize(("dies_after", "label"), [(1, "cat"), (2, "dog")])
async def test_a_further_look_is_not_begun_on_a_dead_link(loaded, dies_after, label):
    transport = AnsweringTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400))
    transport.dies_after = dies_after
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks, answer.fallback) == (label, dies_after, None)


async def test_an_option_without_refinements_takes_the_answer_as_it_is(loaded):
    answer = await answered(loaded, AnsweringTransport(reply(0, UNSURE, 900)), rate="fine")
    assert (answer.label, answer.looks) == ("cat", 1)


async def test_the_device_answers_when_the_first_look_fails(loaded):
    transport = AnsweringTransport(NoReply("late", 300))
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback, answer.looks) == ("owl", "device", "late", 1)
    assert looks_of(loaded) == 1.4


async def test_a_device_that_answers_alone_has_no_look(loaded):
    transport = AnsweringTransport()
    transport.down.set()
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks, answer.sent_bytes) == ("owl", 0, 0)


async def test_the_prediction_has_the_further_looks_in_it(loaded):
    answer = await answered(loaded, AnsweringTransport(reply(0, SURE, 300)))
    assert answer.predicted.cluster_s == pytest.approx(1.4 * 0.030)
    assert answer.predicted.link_s > 1.4 * 0.002


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [((0.6, 0.36), True), ((0.6, 0.35), False), ((0.6, 0.3), False), ((0.1,), False), ((), False)],
)
def test_doubt_is_a_lead_below_that_of_the_refinement(scores, doubt):
    assert leaves_doubt(reply(0, scores, 1).result, THREE_LOOKS.refinements[0]) is doubt
