import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from agent_fakes import FakeHead
from doctor_fakes import FAR, FakeFetch, Page, found, loads_page, one, signal

from device_agent.doctor.deployment import Deployment
from device_agent.doctor.frame_check import FrameCheck
from device_agent.doctor.frame_exchange import Exchanged
from device_agent.doctor.frame_faults import meaning
from device_agent.doctor.wake import SETTLE_S, Waker
from wire.bundle import Bundle
from wire.errors import (
    ClusterUnreachable,
    DeadlineExceeded,
    IsthmusError,
    Overloaded,
    RateLimited,
    SourceError,
    TailFailed,
    WrongBundle,
)
from wire.ids import BundleDigest, DeviceId, OptionId, PointName
from wire.manifest import MANIFEST_SCHEMA, UNMEASURED, FileEntry, Input, Macs, Manifest, Option
from wire.messages import Frame, Hello, LoadSignal, LoadState, Result, Timings
from wire.records import to_plain

DIGEST = BundleDigest("ab" * 32)
TIMINGS = Timings(decode_s=0.001, queue_s=0.002, compute_s=0.007, total_s=0.010)


def option(number: int, point: str, graph: str | None) -> Option:
    return Option(
        id=OptionId(number), point=PointName(point), codec="test", rate=f"r{number}", coder="raw" if graph else "none",
        shape=(3, 4, 4), device_graph="head.onnx", cluster_graph=graph, tables=None, gains=None, quality=None,
        macs=Macs(1, 0, 0, 0), measured=UNMEASURED,
    )  # fmt: skip


OPTIONS = (
    option(0, "shallow", "shallow.onnx"),
    option(1, "shallow", "shallow.onnx"),
    option(2, "deep", "deep.onnx"),
    option(3, "output", None),
)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(FAR, bundle=bundle(tmp_path, OPTIONS), loads=(signal("shallow"), signal("deep")))


def bundle(folder: Path, options: tuple[Option, ...]) -> Bundle:
    (folder / "labels.txt").write_text("cat\ndog\nowl\n")
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=options, files=(FileEntry("labels.txt", "0" * 64, 12, "both"),),
    )  # fmt: skip
    return Bundle(folder, manifest, DIGEST, "device")


class FakeExchange:
    """The seam of the data plane: an answer of two classes, or the next of the errors that a point has."""

    def __init__(self, **errors: list[IsthmusError]) -> None:
        self._errors = errors
        self.sent: list[tuple[PointName, Hello, Frame]] = []
        self.labels, self.scores = (2, 0), (0.75, 0.25)

    def __call__(self, point: PointName, hello: Hello, frame: Frame, /) -> Exchanged:
        self.sent.append((point, hello, frame))
        if self._errors.get(point):
            raise self._errors[point].pop(0)
        result = Result(
            frame_id=frame.frame_id, option_id=frame.option_id, labels=self.labels, scores=self.scores, batch_size=1,
            timings=TIMINGS, load=signal(point),
        )  # fmt: skip
        return Exchanged(result, "replica", sent_bytes=1234, received_bytes=300, open_s=0.004, round_trip_s=0.015)


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def check(deployment: Deployment) -> Callable[..., FrameCheck]:
    def make(exchange: FakeExchange, waker: Waker | None = None, picture: Path | None = None) -> FrameCheck:
        return FrameCheck(
            deployment, exchange, waker or waker_of(Time(), {}), device=DeviceId("camera-1"), agent="isthmus-doctor/1",
            budget_s=5.0, picture=picture, say=lambda _: None,
            make_head=lambda bundle: FakeHead(bundle.option(OptionId(3)), np.zeros((3, 4, 4))),
        )  # fmt: skip

    return make


def waker_of(time: Time, pages: dict[str, Page], *, patience_s: float = 60.0) -> Waker:
    return Waker(FakeFetch(pages), patience_s=patience_s, monotonic=time, sleep=time.sleep)


def test_a_frame_goes_through_every_point_and_its_times_and_classes_are_said(check: Callable[..., FrameCheck]) -> None:
    exchange = FakeExchange()
    shallow, deep = found(check(exchange))
    assert (shallow.subject, shallow.verdict, deep.subject, deep.verdict) == ("shallow", "ok", "deep", "ok")
    assert shallow.sentence == (
        "answered in 37.0 ms: device 22.0, link 5.0, cluster 10.0; 1,234 bytes by r0; 2 classes, best 'owl' 0.75"
    )
    assert shallow.figures["labels"] == [["owl", 0.75], ["cat", 0.25]]
    assert [(point, frame.option_id) for point, _, frame in exchange.sent] == [("shallow", 0), ("deep", 2)]
    _, hello, frame = exchange.sent[0]
    assert hello == Hello(DeviceId("camera-1"), "isthmus-doctor/1", DIGEST)
    assert (frame.bitstream, frame.budget_s) == (b"look 0", 5.0)


def test_options_of_other_graphs_at_a_point_are_tried_too(
    check: Callable[..., FrameCheck], deployment: Deployment, tmp_path: Path
) -> None:
    deployment.bundle = bundle(tmp_path, (*OPTIONS, option(4, "shallow", "another.onnx")))
    exchange = FakeExchange()
    shallow, _ = found(check(exchange))
    assert shallow.sentence.endswith("; 1 more by its other graphs")
    assert [frame.option_id for _, _, frame in exchange.sent] == [0, 4, 2]


def test_a_point_that_fails_keeps_no_other_from_being_tried(check: Callable[..., FrameCheck]) -> None:
    shallow, deep = found(check(FakeExchange(shallow=[TailFailed("Triton is being brought back")])))
    assert (shallow.verdict, deep.verdict) == ("fail", "ok")
    assert shallow.sentence == ("takes frames, but its tail does not run (tail_failed): Triton is being brought back")
    assert "Triton" in shallow.mend
    assert shallow.figures == {"code": "tail_failed"}


def test_a_point_that_this_cluster_does_not_serve_is_no_failure(
    check: Callable[..., FrameCheck], deployment: Deployment
) -> None:
    deployment.loads = (signal("deep"),)
    shallow, deep = found(check(FakeExchange()))
    assert (shallow.verdict, deep.verdict) == ("skipped", "ok")
    deployment.loads = ()
    assert [finding.verdict for finding in found(check(FakeExchange()))] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ((), (), "0 classes"),
        ((1, 2), (0.5,), "2 classes and 1 scores"),
        ((7,), (0.5,), "class 7, and the bundle 3 classes"),
    ],
)
def test_an_answer_of_another_shape_is_a_failure(
    check: Callable[..., FrameCheck], labels: tuple[int, ...], scores: tuple[float, ...], words: str
) -> None:
    exchange = FakeExchange()
    exchange.labels, exchange.scores = labels, scores
    finding = found(check(exchange))[0]
    assert finding.verdict == "fail"
    assert words in finding.sentence


def test_a_picture_that_cannot_be_read_is_said(check: Callable[..., FrameCheck], tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"none")
    with pytest.raises(SourceError, match=r"picture\.png"):
        one(check(FakeExchange(), picture=tmp_path / "picture.png"))


def test_a_point_that_sleeps_is_woken_and_given_time_to_be_known(
    check: Callable[..., FrameCheck], deployment: Deployment
) -> None:
    deployment.loads = (signal("shallow", state="cold", replicas=0), signal("deep"))
    waking = page(signal("shallow", state="starting", replicas=0))
    loads = loads_in_turn(["starting", "starting", "ready"])
    waker = waker_of(Time(), {"/v1/wake?point=shallow": waking, "/v1/load": loads})
    exchange = FakeExchange(shallow=[Overloaded("HTTP 503"), ClusterUnreachable("not yet")])
    shallow, deep = found(check(exchange, waker))
    assert shallow.sentence.startswith("woken in 3.0 s; answered in ")
    assert shallow.figures["woken_s"] == 3.0
    assert len(exchange.sent) == 4
    assert deep.figures["woken_s"] == 0.0


def test_a_point_that_was_woken_and_is_not_known_in_time_is_a_failure(
    check: Callable[..., FrameCheck], deployment: Deployment
) -> None:
    time = Time()
    waker = waker_of(time, {"/v1/load": loads_in_turn(["starting", "ready"])})
    deployment.loads = (signal("shallow", state="starting", replicas=0), signal("deep"))
    begun_s = time.now_s
    shallow = found(check(FakeExchange(shallow=[Overloaded("HTTP 503")] * 100), waker))[0]
    assert shallow.verdict == "fail"
    assert time.now_s - begun_s == pytest.approx(1.0 + SETTLE_S, abs=0.6)


def test_a_point_that_does_not_wake_is_a_failure_with_the_time_that_was_waited(
    check: Callable[..., FrameCheck], deployment: Deployment
) -> None:
    deployment.loads = (signal("shallow", state="starting", replicas=0), signal("deep"))
    waker = waker_of(Time(), {"/v1/load": loads_in_turn(["starting"] * 100)}, patience_s=20)
    shallow, deep = found(check(FakeExchange(), waker))
    assert (shallow.verdict, deep.verdict) == ("fail", "ok")
    assert "starting still after 21 s" in shallow.sentence


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RateLimited("slow down"), "holds this device up (rate_limited): slow down"),
        (Overloaded("full"), "has no replica with room for a frame (overloaded): full"),
        (DeadlineExceeded("late"), "does not answer in time (deadline_exceeded): late"),
        (WrongBundle("another"), "does not serve the bundle that the cluster names (wrong_bundle): another"),
        (ClusterUnreachable("cut"), "takes no stream, while HTTP is answered (cluster_unreachable): cut"),
        (IsthmusError("what"), "does not answer (internal): what"),
    ],
)
def test_each_error_of_a_frame_has_a_meaning_and_a_mend(error: IsthmusError, words: str) -> None:
    said, mend = meaning(error)
    assert said == words
    assert mend or type(error) is IsthmusError


def page(load: LoadSignal) -> bytes:
    return json.dumps(to_plain(load)).encode()


def loads_in_turn(states: list[LoadState]) -> list[bytes]:
    return [loads_page(signal("shallow", state=state), signal("deep")) for state in states]
