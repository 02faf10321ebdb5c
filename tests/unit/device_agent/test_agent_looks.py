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
from device_agent.option_costs import LOOKS_WEIGHT, OptionCosts
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
    Refinement,
    digest_of,
)
from wire.messages import LoadSignal, Result, Timings

MEASURED = Measured(
    dataset="none", pictures=0, top1=0, top1_drop=0, top5=0, top5_drop=0, agreement=0, bytes_mean=400.0, bytes_p95=500
)
ONE_LOOK = Option(
    id=OptionId(2), point=PointName("mid"), codec="c", rate="fine", coder="rans", shape=(3, 8, 8),
    device_graph="head.onnx", cluster_graph="tail.onnx", tables="fine.npy", gains="fine-gains.npy", quality=None,
    macs=Macs(1, 1, 1, 1), measured=MEASURED,
)  # fmt: skip
THREE_LOOKS = replace(
    ONE_LOOK,
    id=OptionId(1),
    rate="coarse+middle+fine",
    refinements=(
        Refinement(0.25, "middle-by-coarse.npy", "middle-gains.npy"),
        Refinement(0.15, "fine-by-middle.npy", "fine-gains.npy"),
    ),
    measured=replace(MEASURED, looks_mean=1.4),
)
WHOLE = replace(
    ONE_LOOK, id=OptionId(3), point=PointName("output"), rate="whole", coder="none", shape=(1, 1, 1),
    cluster_graph=None, tables=None, gains=None,
)  # fmt: skip
LABELS = b"cat\ndog\nowl\n"
LOAD = LoadSignal(
    point=ONE_LOOK.point, state="ready", service_s=0.02, queue_s=0.01, utilisation=0.1, in_flight=0, replicas=1
)
SYMBOLS = np.zeros((3, 8, 8), np.float32)
SURE, HALF_SURE, UNSURE = (0.7, 0.2, 0.1), (0.5, 0.3, 0.2), (0.4, 0.3, 0.3)
"""They lead by 0.5, by 0.2, which is enough for the last refinement alone, and by 0.1."""


def reply(label: int, scores: tuple[float, ...], sent_bytes: int) -> Reply:
    timings = Timings(decode_s=0.0, queue_s=0.0, compute_s=0.0, total_s=0.004)
    result = Result(
        frame_id=7, option_id=THREE_LOOKS.id, labels=(label, 2 - label, 1)[: len(scores)], scores=scores, batch_size=1,
        timings=timings, load=LOAD,
    )  # fmt: skip
    return Reply(result, sent_bytes, round_trip_s=0.01, message_s=0.001)


class FakeTransport:
    """The seam of the link: gives the replies of a test, each as late as it says, and keeps what was sent."""

    def __init__(self, *replies: Reply | NoReply) -> None:
        self.link = LinkEstimate()
        self.link.note_round_trip(0.002)
        self.loads = {ONE_LOOK.point: LOAD}
        self.down = asyncio.Event()
        self.sent: list[tuple[OptionId, int, bytes]] = []
        self.takes_s = [0.010, 0.010, 0.010]
        self.dies_after: int | None = None
        self._replies = list(replies)

    def is_served(self, point: PointName) -> bool:
        return True

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


class FakeHead:
    """The seam of the device: counts its runs; the whole network says owl."""

    local = WHOLE

    def __init__(self) -> None:
        self.runs = {"head": 0, "refine": 0, "whole": 0}

    def encode(self, option, pixels) -> Encoded:
        self.runs["head"] += 1
        return Encoded(b"look 0", device_s=0.020, code_s=0.002, warm_s=0.0, symbols=SYMBOLS)

    def refine(self, option, encoded, look) -> Encoded:
        assert option == THREE_LOOKS
        assert encoded.symbols is SYMBOLS
        self.runs["refine"] += 1
        return Encoded(b"look %d" % look, device_s=0.0, code_s=0.003, warm_s=0.0, symbols=encoded.symbols)

    def answer(self, pixels) -> LocalAnswer:
        self.runs["whole"] += 1
        return LocalAnswer((2,), (0.9,), 0.05, 0.0)


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "labels.txt").write_bytes(LABELS)
    entry = FileEntry("labels.txt", hashlib.sha256(LABELS).hexdigest(), len(LABELS), "both")
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=(THREE_LOOKS, ONE_LOOK, WHOLE), files=(entry,),
    )  # fmt: skip
    options = OptionCosts(manifest.options, {THREE_LOOKS.id: 0.022})
    return LoadedBundle(Bundle(tmp_path, manifest, digest_of(b""), "device"), FakeHead(), options)


async def answered(loaded, transport, *, rate=THREE_LOOKS.rate, deadline_s=1.0):
    frame = DueFrame(frame_id=7, pixels=np.zeros((1, 8, 8, 3), np.uint8), due_s=time.monotonic())
    with ThreadPoolExecutor(1) as worker:
        answerer = Answerer(
            loaded, transport, worker, policy=Policy("fixed", ONE_LOOK.point, rate), deadline_s=deadline_s, slowdown=1.0
        )
        return await answerer.answer(frame)


async def test_a_certain_answer_is_the_only_look(loaded):
    transport = FakeTransport(reply(0, SURE, 300))
    answer = await answered(loaded, transport)
    assert transport.sent == [(THREE_LOOKS.id, 7, b"look 0")]
    assert (answer.label, answer.looks, answer.sent_bytes, answer.fallback) == ("cat", 1, 300, None)
    assert answer.parts.code == 0.002
    assert loaded.costs.looks(THREE_LOOKS.id) == pytest.approx(1.4 - LOOKS_WEIGHT * 0.4)


async def test_an_answer_that_stays_uncertain_is_refined_as_often_as_the_option_can(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(0, UNSURE, 400), reply(1, UNSURE, 500))
    answer = await answered(loaded, transport)
    assert transport.sent == [(THREE_LOOKS.id, 7, b"look %d" % look) for look in range(3)]
    assert (answer.label, answer.where, answer.fallback, answer.looks) == ("dog", "cluster", None, 3)
    assert (answer.option, answer.planned) == (THREE_LOOKS, THREE_LOOKS)
    assert loaded.head.runs == {"head": 1, "refine": 2, "whole": 0}


@pytest.mark.parametrize("second", [SURE, HALF_SURE])
async def test_looks_end_with_the_first_answer_that_the_next_refinement_has_no_doubt_of(loaded, second):
    transport = FakeTransport(reply(0, HALF_SURE, 300), reply(1, second, 400))
    answer = await answered(loaded, transport)
    assert [bitstream for *_, bitstream in transport.sent] == [b"look 0", b"look 1"]
    assert (answer.label, answer.looks, answer.sent_bytes) == ("dog", 2, 700)


async def test_what_the_looks_took_is_added_up(loaded):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400), reply(1, SURE, 500))
    answer = await answered(loaded, transport)
    assert (answer.looks, answer.sent_bytes) == (3, 1200)
    assert answer.parts.device == 0.020
    assert answer.parts.code == pytest.approx(0.008)
    assert answer.parts.cluster == pytest.approx(0.012)
    assert answer.parts.link >= 0.017
    assert answer.overhead_s >= 0.011
    assert loaded.costs.looks(THREE_LOOKS.id) == pytest.approx(1.4 + LOOKS_WEIGHT * 1.6)
    assert loaded.costs.device_s(THREE_LOOKS.id) == pytest.approx(0.022 + 0.2 * 0.006)


LOST = [NoReply("late", 900), NoReply("refused:look_missing", 900), NoReply("link_down")]


@pytest.mark.parametrize("lost", LOST)
async def test_the_first_answer_stands_when_the_second_look_fails(loaded, lost):
    transport = FakeTransport(reply(0, UNSURE, 300), lost)
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback) == ("cat", "cluster", None)
    assert (answer.looks, answer.sent_bytes) == (2, 300 + lost.sent_bytes)
    assert answer.parts.cluster == pytest.approx(0.004)
    assert loaded.head.runs == {"head": 1, "refine": 1, "whole": 0}


@pytest.mark.parametrize("lost", LOST)
async def test_the_answer_before_it_stands_when_the_last_look_fails(loaded, lost):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400), lost)
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback) == ("dog", "cluster", None)
    assert (answer.looks, answer.sent_bytes) == (3, 700 + lost.sent_bytes)
    assert answer.parts.cluster == pytest.approx(0.008)
    assert loaded.head.runs["whole"] == 0


@pytest.mark.parametrize(
    ("takes_s", "label", "looks"), [([0.15], "cat", 1), ([0.01, 0.15], "dog", 2)], ids=["second", "third"]
)
async def test_a_look_is_not_begun_when_less_time_is_left_than_the_last_exchange_took(loaded, takes_s, label, looks):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400))
    transport.takes_s = takes_s
    answer = await answered(loaded, transport, deadline_s=0.25)
    assert (answer.label, answer.looks, answer.fallback) == (label, looks, None)
    assert loaded.head.runs == {"head": 1, "refine": looks - 1, "whole": 0}


@pytest.mark.parametrize(("dies_after", "label"), [(1, "cat"), (2, "dog")])
async def test_a_further_look_is_not_begun_on_a_dead_link(loaded, dies_after, label):
    transport = FakeTransport(reply(0, UNSURE, 300), reply(1, UNSURE, 400))
    transport.dies_after = dies_after
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks, answer.fallback) == (label, dies_after, None)


async def test_an_option_without_refinements_takes_the_answer_as_it_is(loaded):
    answer = await answered(loaded, FakeTransport(reply(0, UNSURE, 900)), rate="fine")
    assert (answer.label, answer.looks) == ("cat", 1)


async def test_the_device_answers_when_the_first_look_fails(loaded):
    transport = FakeTransport(NoReply("late", 300))
    answer = await answered(loaded, transport)
    assert (answer.label, answer.where, answer.fallback, answer.looks) == ("owl", "device", "late", 1)
    assert loaded.costs.looks(THREE_LOOKS.id) == 1.4


async def test_a_device_that_answers_alone_has_no_look(loaded):
    transport = FakeTransport()
    transport.down.set()
    answer = await answered(loaded, transport)
    assert (answer.label, answer.looks, answer.sent_bytes) == ("owl", 0, 0)


async def test_the_prediction_has_the_further_looks_in_it(loaded):
    answer = await answered(loaded, FakeTransport(reply(0, SURE, 300)))
    assert answer.predicted.cluster_s == pytest.approx(1.4 * 0.030)
    assert answer.predicted.link_s > 1.4 * 0.002


@pytest.mark.parametrize(
    ("scores", "doubt"),
    [((0.6, 0.36), True), ((0.6, 0.35), False), ((0.6, 0.3), False), ((0.1,), False), ((), False)],
)
def test_doubt_is_a_lead_below_that_of_the_refinement(scores, doubt):
    assert leaves_doubt(reply(0, scores, 1).result, THREE_LOOKS.refinements[0]) is doubt
