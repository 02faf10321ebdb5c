import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serve_fakes import Clock, request, until
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from serve_apps.agents_seen import AgentSeen
from serve_apps.control_watch import ControlWatch
from serve_apps.guard import NO_GUARD
from serve_apps.replica_board import FORGOTTEN_AFTER_S, ReplicaBoard
from serve_apps.replica_metrics import ReplicaMetrics
from serve_apps.replica_reporter import ReplicaReporter
from serve_apps.replica_watch import ReplicaSeen
from wire.errors import Forbidden
from wire.ids import BundleDigest, DeviceId, PointName
from wire.messages import LoadSignal, Result, Timings

DIGEST = BundleDigest("a" * 64)


def load(point="mid", **changes):
    fields = {
        "point": PointName(point), "state": "ready", "service_s": 0.01, "queue_s": 0.002, "utilisation": 0.25,
        "in_flight": 2, "replicas": 1,
    }  # fmt: skip
    return LoadSignal(**(fields | changes))


def agent(device, **changes):
    fields = {
        "device": DeviceId(device), "agent": "agent/1", "rate": "r1", "streams": 1, "frames": 10, "refused": 1,
        "frames_s": 5.0, "received_bytes": 5000, "quiet_s": 0.5,
    }  # fmt: skip
    return AgentSeen(**(fields | changes))


def seen(replica, *agents, metrics=None, point="mid", **of_load):
    return ReplicaSeen(
        replica=replica, bundle=DIGEST, load=load(point, **of_load), frames=20, frames_s=10.0, streams=len(agents),
        agents=agents, metrics=(metrics or ReplicaMetrics()).plain(),
    )  # fmt: skip


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def board(clock):
    return ReplicaBoard(clock=clock)


async def signals():
    return [load(), load("input", state="starting", replicas=0, utilisation=0.5)]


def application(board, guard=NO_GUARD):
    watch = ControlWatch(board, signals, guard, newest=lambda: DIGEST)

    async def version(_):
        return Response("1")

    return watch.counted(Starlette(routes=[Route("/version", version), *watch.routes]))


async def scrape(app):
    response = await request(app, "GET", "/metrics")
    assert response.status == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }


def of(replica, *labels, point="mid"):
    return tuple(sorted((("point", point), ("replica", replica), *labels)))


async def test_each_replica_s_metrics_have_its_name_and_point(board):
    one, other = ReplicaMetrics(), ReplicaMetrics()
    timings = Timings(decode_s=0.001, queue_s=0.0, compute_s=0.004, total_s=0.006)
    result = Result(frame_id=1, option_id=4, labels=(), scores=(), batch_size=2, timings=timings, load=load())
    for _ in range(3):
        one.answered("r1", result)
    other.refused("r2", "overloaded")
    board.note(seen("one", metrics=one))
    board.note(seen("other", metrics=other, utilisation=0.75))
    found = await scrape(application(board))
    assert found["isthmus_frames_total", *of("one", ("code", "ok"), ("rate", "r1"))] == 3
    assert found["isthmus_frames_total", *of("other", ("code", "overloaded"), ("rate", "r2"))] == 1
    assert found["isthmus_frame_seconds_count", *of("one", ("stage", "total"))] == 3
    assert found["isthmus_frame_seconds_count", *of("other", ("stage", "total"))] == 0
    assert found["isthmus_batches_total", *of("one")] == 1.5
    assert found["isthmus_replica_busy_ratio", *of("other")] == 0.75
    assert found["isthmus_replica_frames_in_flight", *of("one")] == 2


async def test_points_are_shown_as_they_publish_themselves(board):
    found = await scrape(application(board))
    assert found["isthmus_point_ready", ("point", "mid")] == 1
    assert found["isthmus_point_ready", ("point", "input")] == 0
    assert found["isthmus_point_busy_ratio", ("point", "input")] == 0.5
    assert found["isthmus_point_queue_seconds", ("point", "mid")] == 0.002


async def test_requests_are_counted_by_route_and_status_and_strange_ones_together(board):
    app = application(board)
    await request(app, "GET", "/version")
    for path in ("/nothing", "/at-all"):
        await request(app, "GET", path)
    found = await scrape(app)
    assert found["isthmus_control_requests_total", ("route", "version"), ("status", "200")] == 1
    assert found["isthmus_control_requests_total", ("route", "other"), ("status", "404")] == 2


async def test_a_replica_that_says_nothing_any_more_is_forgotten(board, clock):
    board.note(seen("old", agent("cam")))
    clock.now_s += FORGOTTEN_AFTER_S - 1
    board.note(seen("new"))
    clock.now_s += 2
    assert [replica["replica"] for replica in board.replicas()] == ["new"]
    assert board.agents() == []
    assert not any(("replica", "old") in key for key in await scrape(application(board)))


async def test_an_agent_is_one_row_by_its_last_frame_with_all_its_streams(board):
    board.note(seen("one", agent("cam", quiet_s=9.0, rate="r1")))
    board.note(seen("two", agent("cam", quiet_s=0.1, rate="r6"), agent("idle", rate=None, frames=0), point="deep"))
    response = await request(application(board), "GET", "/agents")
    cam, idle = response.json()["agents"]
    assert (cam["device"], cam["point"], cam["rate"], cam["replica"]) == ("cam", "deep", "r6", "two")
    assert (cam["streams"], cam["frames"], cam["frames_s"], cam["received_bytes"]) == (2, 20, 10.0, 10000)
    assert (idle["device"], idle["point"]) == ("idle", None)
    assert (await scrape(application(board)))[("isthmus_agents",)] == 2


async def test_replicas_are_listed_with_their_load(board):
    board.note(seen("one", agent("cam")))
    (replica,) = (await request(application(board), "GET", "/replicas")).json()["replicas"]
    assert (replica["replica"], replica["point"], replica["state"], replica["streams"]) == ("one", "mid", "ready", 1)
    assert (replica["frames"], replica["frames_s"], replica["utilisation"]) == (20, 10.0, 0.25)


@pytest.mark.parametrize("path", ["/metrics", "/replicas", "/agents"])
async def test_devices_are_not_told_of_others(board, path):
    class DevicesOnly:
        def operator(self, _):
            raise Forbidden("a device is no operator")

    response = await request(application(board, DevicesOnly()), "GET", path)
    assert response.status == 403


async def test_reports_go_on_after_the_control_application_was_away():
    sent, attempts = [], 0

    async def send(report):
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ConnectionError("it starts")
        sent.append(report)

    reporting = asyncio.create_task(ReplicaReporter(lambda: "report", send, every_s=0.0).run())
    await until(lambda: sent)
    reporting.cancel()
    assert sent[0] == "report"
