import json
import logging
import sys

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from serve_fakes import Socket, frame, hello, request, until

from serve_apps.agents_seen import FORGOTTEN_AFTER_S, MOST, AgentsSeen
from serve_apps.logs import configure_logs
from serve_apps.observe_config import ObserveConfig
from serve_apps.replica_watch import ReplicaWatch
from serve_apps.tail_web import TailWeb
from wire.errors import Overloaded
from wire.ids import DeviceId
from wire.messages import Reject, Result, Welcome, pack, reject_from, unpack
from wire.trace_ids import frame_trace, with_session

MSGPACK = {"Content-Type": "application/msgpack"}
SESSION = "0123456789abcdef"


@pytest.fixture
def watch(tail):
    return ReplicaWatch(tail.point, "replica-1")


@pytest.fixture
def app(tail, watch):
    return TailWeb(tail, watch=watch).asgi


def counted(watch):
    """Every sample of a replica's metrics, by name and labels."""
    text = generate_latest(watch.metrics.registry).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def answers(app, bundle, *frames):
    """What a stream answers, until it is closed again."""
    async with Socket(app) as socket:
        socket.send(hello(bundle.digest))
        assert isinstance(await socket.receive(), Welcome)
        for message in frames:
            socket.send(message)
        return [await socket.receive() for _ in frames]


async def test_answered_and_refused_frames_are_counted_by_rate_and_code(app, bundle, watch, bitstream):
    first, second = await answers(app, bundle, frame(bitstream, option_id=4), frame(bitstream, option_id=999))
    assert {type(first), type(second)} == {Result, Reject}
    seen = counted(watch)
    assert seen["isthmus_frames_total", ("code", "ok"), ("rate", "r")] == 1
    assert seen["isthmus_frames_total", ("code", "unknown_option"), ("rate", "unknown")] == 1
    for stage in ("decode", "queue", "compute", "total"):
        assert seen["isthmus_frame_seconds_count", ("stage", stage)] == 1
    assert seen[("isthmus_frame_batch_frames_sum",)] == 1
    assert seen[("isthmus_batches_total",)] == 1


async def test_bytes_are_those_of_whole_messages(app, bundle, watch, bitstream):
    sent = frame(bitstream, option_id=4)
    (result,) = await answers(app, bundle, sent)
    seen = counted(watch)
    assert seen[("isthmus_received_bytes_total",)] == len(pack(sent))
    assert seen[("isthmus_sent_bytes_total",)] == len(pack(result))


async def test_a_post_is_counted_as_a_frame_of_a_stream_is(app, watch, bitstream):
    body = pack(frame(bitstream, option_id=4))
    response = await request(app, "POST", "/frame", body, MSGPACK)
    assert isinstance(unpack(response.body), Result)
    refused = await request(app, "POST", "/frame", b"nothing", MSGPACK)
    assert refused.status == 400
    seen = counted(watch)
    assert seen["isthmus_frames_total", ("code", "ok"), ("rate", "r")] == 1
    assert seen["isthmus_frames_total", ("code", "malformed_message"), ("rate", "unknown")] == 1
    assert seen[("isthmus_received_bytes_total",)] == len(body)


async def test_frames_that_warm_a_tail_up_are_nobody_s(app, watch):
    assert not [name for name, *_ in counted(watch) if name == "isthmus_frames_total"]


async def test_streams_are_counted_while_they_are_open(app, bundle, watch):
    async with Socket(app) as socket:
        socket.send(hello(bundle.digest))
        await socket.receive()
        assert counted(watch)[("isthmus_streams_open",)] == 1
    await until(lambda: counted(watch)[("isthmus_streams_open",)] == 0)
    assert counted(watch)["isthmus_streams_total", ("code", "ok")] == 1


async def test_a_stream_that_is_refused_is_counted_by_the_reason(app, bundle, watch):
    async with Socket(app) as socket:
        socket.send(hello("0" * 64))
        assert isinstance(await socket.receive(), Reject)
    await until(lambda: ("isthmus_streams_total", ("code", "wrong_bundle")) in counted(watch))
    assert counted(watch)[("isthmus_streams_open",)] == 0


async def test_a_report_names_the_agents_with_their_cut_and_no_metric_does(app, bundle, tail, watch, bitstream):
    async with Socket(app) as socket:
        greeting = hello(bundle.digest)
        socket.send(greeting)
        await socket.receive()
        socket.send(frame(bitstream, option_id=4))
        await socket.receive()
        await until(lambda: watch.report(bundle.digest, tail.load()).frames == 1)
        report = watch.report(bundle.digest, tail.load())
    (agent,) = report.agents
    assert (agent.device, agent.rate, agent.frames, agent.streams) == (greeting.device_id, "r", 1, 1)
    assert str(greeting.device_id) not in generate_latest(watch.metrics.registry).decode()
    assert report.streams == 1


async def test_lines_about_a_refused_frame_name_device_and_frame_as_json(app, bundle, bitstream, capsys, monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    isthmus = logging.getLogger("isthmus")
    before = isthmus.handlers, isthmus.propagate, isthmus.level
    try:
        configure_logs(ObserveConfig(log="json", level="info"), point="mid", replica="replica-1")
        await answers(app, bundle, frame(bitstream, option_id=999))
        logging.getLogger("isthmus.health").warning("point.failing %s", "mid")
    finally:
        isthmus.handlers, isthmus.propagate = before[:2]
        isthmus.setLevel(before[2])
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (refused,) = [line for line in lines if line["event"] == "frame.refused"]
    assert (refused["device"], refused["frame"], refused["code"]) == ("camera-1", 1, "unknown_option")
    assert (refused["point"], refused["replica"], refused["level"]) == ("mid", "replica-1", "info")
    assert [line["event"] for line in lines if line["logger"] == "isthmus.health"] == ["point.failing mid"]


async def test_a_frame_s_spans_hang_under_the_agent_s_without_a_byte_in_the_frame(tail, bundle, bitstream, tmp_path):
    file = tmp_path / "trace.jsonl"
    watch = ReplicaWatch.make(tail.point, "replica-1", str(file))
    greeting = hello(bundle.digest)
    greeting = type(greeting)(greeting.device_id, with_session(greeting.agent, SESSION), greeting.bundle)
    async with Socket(TailWeb(tail, watch=watch).asgi) as socket:
        socket.send(greeting)
        await socket.receive()
        socket.send(frame(bitstream, option_id=4, frame_id=3))
        await socket.receive()
    watch.close()
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    whole = next(span for span in spans if span["name"] == "tail")
    trace = frame_trace(greeting.device_id, SESSION, 3)
    assert int(whole["context"]["trace_id"], 16) == trace.trace_id
    assert int(whole["parent_id"], 16) == trace.span_id
    below = [span for span in spans if span["parent_id"] == whole["context"]["span_id"]]
    assert [span["name"] for span in below] == ["admit", "decode", "queue", "compute", "reply"]
    assert whole["attributes"]["isthmus.batch_frames"] == 1


def test_a_refused_frame_was_admitted_by_nobody_and_has_no_compute():
    from serve_apps.tracing import spans_of

    reject = reject_from(Overloaded("full"), 3)
    assert spans_of(reject, 10.0, 10.5, 11.0) == [("admit", 10.0, 10.5), ("reply", 10.5, 11.0)]


def test_agents_are_forgotten_a_while_after_they_went_and_never_more_than_so_many_are_kept():
    agents = AgentsSeen(0.0)
    agents.opened(DeviceId("a"), "agent", 1.0)
    agents.frame(DeviceId("a"), "r1", 500, 2.0, refused=False)
    agents.closed(DeviceId("a"))
    (seen,) = agents.report(4.0)
    assert (seen.rate, seen.frames, seen.frames_s, seen.quiet_s) == ("r1", 1, 0.25, 2.0)
    assert agents.report(3.0 + FORGOTTEN_AFTER_S) == ()
    for number in range(MOST + 10):
        agents.opened(DeviceId(f"d{number}"), "agent", 100.0)
    kept = agents.report(100.0)
    assert len(kept) == MOST
    assert kept[-1].device == f"d{MOST + 9}"


def test_a_trace_file_is_found_from_any_folder_and_a_collector_anyway(tmp_path):
    assert ObserveConfig(trace="t.jsonl").beside(tmp_path).trace == str(tmp_path / "t.jsonl")
    assert ObserveConfig(trace="http://collector:4318").beside(tmp_path).trace == "http://collector:4318"
    assert ObserveConfig().beside(tmp_path) == ObserveConfig()
