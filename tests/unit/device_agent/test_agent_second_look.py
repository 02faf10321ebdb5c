import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from device_agent.answerer import Answerer
from device_agent.frame_feed import DueFrame
from device_agent.head import Encoded, LocalAnswer
from device_agent.link import LinkEstimate
from device_agent.loaded_bundle import LoadedBundle
from device_agent.look import leaves_doubt
from device_agent.option_costs import SECOND_WEIGHT, OptionCosts
from device_agent.planner import Policy
from device_agent.transport import NoReply, Reply
from wire.bundle import Bundle
from wire.ids import OptionId, PointName
from wire.manifest import (
    MANIFEST_SCHEMA,
    FileEntry,
    Input,
    Macs,
    Manifest,
    Measured,
    Option,
    Second,
    digest_of,
)
from wire.messages import LoadSignal, Result, Timings

MEASURED = Measured(
    dataset="none", pictures=0, top1=0, top1_drop=0, top5=0, top5_drop=0, agreement=0, bytes_mean=400.0, bytes_p95=500
)
FINE = Option(
    id=OptionId(2), point=PointName("mid"), codec="c", rate="fine", coder="raw", shape=(3, 8, 8),
    device_graph="head.onnx", cluster_graph="tail.onnx", tables=None, gains=None, quality=None,
    macs=Macs(1, 1, 1, 1), measured=MEASURED,
)  # fmt: skip
COARSE = replace(
    FINE,
    id=OptionId(1),
    rate="coarse",
    second=Second(FINE.id, lead=0.25),
    measured=replace(FINE.measured, second_share=0.4),
)
WHOLE = replace(
    FINE, id=OptionId(3), point=PointName("output"), rate="whole", coder="none", shape=(1, 1, 1), cluster_graph=None
)
LABELS = b"cat\ndog\nowl\n"
LOAD = LoadSignal(
    point=FINE.point, state="ready", service_s=0.02, queue_s=0.01, utilisation=0.1, in_flight=0, replicas=1
)
SYMBOLS = np.zeros((3, 8, 8), np.uint8)
SURE, UNSURE = (0.7, 0.2, 0.1), (0.4, 0.3, 0.3)


def reply(label: int, scores: tuple[float, ...], sent_bytes: int) -> Reply:
    timings = Timings(decode_s=0.0, queue_s=0.0, compute_s=0.0, total_s=0.004)
    result = Result(
        frame_id=7, option_id=COARSE.id, labels=(label, 2 - label, 1)[: len(scores)], scores=scores, batch_size=1,
        timings=timings, load=LOAD,
    )  # fmt: skip
    return Reply(result, sent_bytes, round_trip_s=0.01, message_s=0.001)


class FakeTransport:
    """The seam of the link: gives the replies of a test, each after 10 ms, and keeps what was sent."""

    def __init__(self, *replies: Reply | NoReply) -> None:
        self.link = LinkEstimate()
        self.link.note_round_trip(0.002)
        self.loads = {FINE.point: LOAD}
        self.down = asyncio.Event()
        self.sent: list[tuple[OptionId, int, bytes]] = []
        self.dies_after_the_first = False
        self._replies = list(replies)

    def is_served(self, point: PointName) -> bool:
        return True

    async def exchange(self, point, option_id, frame_id, bitstream, *, until_s, silent_since_s=None):
        assert until_s > time.monotonic()
        # A second look was preceded by a reply: the silence of what time is left must not count as a dead link.
        assert (silent_since_s is None) == (not self.sent)
        self.sent.append((option_id, frame_id, bitstream))
        await asyncio.sleep(0.010)
        if self.dies_after_the_first:
            self.down.set()
        return self._replies.pop(0)


class FakeHead:
    """The seam of the device: counts its runs; the whole network says owl."""

    local = WHOLE

    def __init__(self) -> None:
        self.runs = {"head": 0, "again": 0, "whole": 0}

    def encode(self, option, pixels) -> Encoded:
        self.runs["head"] += 1
        return Encoded(b"first", device_s=0.020, code_s=0.002, warm_s=0.0, symbols=SYMBOLS)

    def encode_again(self, option, encoded) -> Encoded:
        assert encoded.symbols is SYMBOLS
        self.runs["again"] += 1
        return Encoded(b"second", device_s=0.0, code_s=0.003, warm_s=0.0, symbols=encoded.symbols)

    def answer(self, pixels) -> LocalAnswer:
        self.runs["whole"] += 1
        return LocalAnswer((2,), (0.9,), 0.05, 0.0)


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "labels.txt").write_bytes(LABELS)
    entry = FileEntry("labels.txt", hashlib.sha256(LABELS).hexdigest(), len(LABELS), "both")
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=(COARSE, FINE, WHOLE), files=(entry,),
    )  # fmt: skip
    options = OptionCosts(manifest.options, {COARSE.id: 0.022})
    return LoadedBundle(Bundle(tmp_path, manifest, digest_of(b""), "device"), FakeHead(), options)


async def answered(loaded, transport, *, rate="coarse", deadline_s=1.0):
    frame = DueFrame(frame_id=7, pixels=np.zeros((1, 8, 8, 3), np.uint8), due_s=time.monotonic())
    with ThreadPoolExecutor(1) as worker:
        answerer = Answerer(
            loaded, transport, worker, policy=Policy("fixed", FINE.point, rate), deadline_s=deadline_s, slowdown=1.0
        )
        return await answerer.answer(frame)


async def test_a_certain_answer_is_the_only_look(loaded):
    transport = FakeTransport(reply(0, SURE, 300))
    answer = await answered(loaded, transport)
    assert transport.sent == [(COARSE.id, 7, b"first")]
    assert (answer.label, answer.looks, answer.sent_bytes, answer.fallback) == ("cat", 1, 300, None)
    assert answer.parts.code == 0.002
    assert loaded.costs.looks(COARSE.id) == pytest.approx(1.4 - SECOND_WEIGHT * 0.4)


async def test_an_uncertain_answer_is_replaced_by_that_of_the_finer_option(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 900))
    answer = await answered(loaded, transport)
    assert transport.sent == [(COARSE.id, 7, b"first"), (FINE.id, 7, b"second")]
    assert (answer.label, answer.where, answer.fallback) == ("dog", "cluster", None)
    assert (answer.option, answer.planned) == (COARSE, COARSE)
    assert loaded.head.runs == {"head": 1, "again": 1, "whole": 0}


async def test_what_two_looks_took_is_added_up(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, SURE, 900))
    answer = await answered(loaded, transport)
    assert (answer.looks, answer.sent_bytes) == (2, 1200)
    assert answer.parts.device == 0.020
    assert answer.parts.code == pytest.approx(0.005)
    assert answer.parts.cluster == pytest.approx(0.008)
    assert answer.parts.link >= 0.011
    assert answer.overhead_s >= 0.007
    assert loaded.costs.looks(COARSE.id) == pytest.approx(1.4 + SECOND_WEIGHT * 0.6)
    assert loaded.costs.device_s(COARSE.id) == pytest.approx(0.022 + 0.2 * 0.003)


@pytest.mark.parametrize("lost", [NoReply("late", 900), NoReply("refused:overloaded", 900), NoReply("link_down")])
async def test_the_first_answer_stands_when_the_second_look_fails(loaded, lost):
    transport = FakeTransport(reply(0, UNSURE, 300), lost)
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)
    assert (answer.looks, answer.sent_bytes) == (2, 300 + lost.sent_bytes)
    assert answer.parts.cluster == pytest.approx(0.004)
    assert loaded.head.runs["whole"] == 0


async def test_a_second_look_is_not_begun_when_the_deadline_would_pass(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300))
    # Of 40 ms the first look takes 10, and a second needs at least the 30 of the cluster and the 2 of the link.
    answer = await answered(loaded, transport, deadline_s=0.040)
    assert (answer.label, answer.looks, answer.fallback) == ("cat", 1, None)
    assert loaded.head.runs == {"head": 1, "again": 0, "whole": 0}


async def test_a_second_look_is_not_begun_on_a_dead_link(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300))
    transport.dies_after_the_first = True
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks) == ("cat", 1)


async def test_an_option_without_a_second_takes_the_answer_as_it_is(loaded):
    answer = await answered(loaded, FakeTransport(reply(0, UNSURE, 900)), rate="fine")
    assert (answer.label, answer.looks) == ("cat", 1)


async def test_the_device_answers_when_the_first_look_fails(loaded):
    transport = FakeTransport(NoReply("late", 300))
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback, answer.looks) == ("owl", "device", "late", 1)
    assert loaded.costs.looks(COARSE.id) == 1.4


async def test_a_device_that_answers_alone_has_no_look(loaded):
    transport = FakeTransport()
    transport.down.set()
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks, answer.sent_bytes) == ("owl", 0, 0)


async def test_the_prediction_has_the_second_looks_in_it(loaded):
    answer = await answered(loaded, FakeTransport(reply(0, SURE, 300)))
    assert answer.predicted.cluster_s == pytest.approx(1.4 * 0.030)
    assert answer.predicted.link_s > 1.4 * 0.002


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [((0.6, 0.36), True), ((0.6, 0.35), False), ((0.6, 0.3), False), ((0.1,), False), ((), False)],
)
def test_doubt_is_a_lead_below_that_of_the_second(scores, doubt):
    assert leaves_doubt(reply(0, scores, 1).result, Second(FINE.id, lead=0.25)) is doubt
