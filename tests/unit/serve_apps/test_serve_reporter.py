import asyncio
from contextlib import ExitStack

import pytest
from serve_fakes import Clock, until

from serve_apps import reporter
from serve_apps.report import Orders, Report
from serve_apps.reporter import Reporter
from serve_apps.stream_roster import StreamRoster
from wire.errors import ClusterUnreachable
from wire.messages import LoadSignal

NEW, OLD = "a" * 64, "b" * 64


class Stream:
    def __init__(self):
        self.reasons = []

    async def go_away(self, reason, *, grace_s):
        self.reasons.append(reason)


class Control:
    """Gives the orders that it is told to, and is away as long as it is told to."""

    def __init__(self):
        self.reports = 0
        self.orders = Orders(move=0, changed_s=0.0)
        self.away = 0

    async def __call__(self, _report):
        self.reports += 1
        if self.reports <= self.away:
            raise ClusterUnreachable("the control application starts")
        return self.orders


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def roster(clock):
    return StreamRoster(clock=clock)


@pytest.fixture
def control(monkeypatch):
    monkeypatch.setattr(reporter, "REPORT_EVERY_S", 0.001)
    return Control()


async def reported(roster, control, *, times, state="ready", behind=0, settled_s=100.0):
    """Report some times."""
    load = LoadSignal(point="mid", state=state, service_s=0.01, queue_s=0.0, utilisation=0.2, in_flight=0, replicas=1)

    def make():
        return Report(
            replica="r",
            load=load,
            streams=roster.staying,
            bundles=(NEW, OLD),
            behind=behind,
            settled_s=settled_s,
            fault="",
        )

    task = asyncio.create_task(Reporter(make, control, roster).run())
    until_reports = control.reports + times
    await until(lambda: control.reports >= until_reports + 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_the_control_application_asks_for_is_moved(roster, control):
    streams = [Stream() for _ in range(4)]
    control.orders = Orders(move=2, changed_s=0.0)
    with ExitStack() as stack:
        for stream in streams:
            stack.enter_context(roster.holding(stream, NEW, None))
        await reported(roster, control, times=1)
    assert sorted(len(stream.reasons) for stream in streams)[2:] == [1, 1]


async def test_a_control_application_that_is_away_is_asked_again(roster, control):
    control.away = 5
    control.orders = Orders(move=1, changed_s=0.0)
    stream = Stream()
    with roster.holding(stream, NEW, None):
        await reported(roster, control, times=7)
    assert stream.reasons == ["to even out the load"]


async def test_a_stream_from_before_a_change_of_the_replicas_is_moved_and_one_from_after_is_not(roster, control, clock):
    before, after = Stream(), Stream()
    with roster.holding(before, NEW, None):
        clock.now_s = 50.0
        with roster.holding(after, NEW, None):
            clock.now_s = 60.0
            control.orders = Orders(move=0, changed_s=20.0)
            await reported(roster, control, times=1)
    assert before.reasons == ["its way here will be closed"]
    assert after.reasons == []


async def test_a_stream_of_an_old_bundle_is_greeted_again_once_there_is_a_new_one_and_then_left_alone(
    roster, control, clock
):
    old, told = Stream(), Stream()
    with roster.holding(old, OLD, None):
        clock.now_s = 30.0
        with roster.holding(told, OLD, None):  # greeted when there was a new one already, and told of it
            clock.now_s = 40.0
            await reported(roster, control, times=3, behind=2, settled_s=20.0)
    assert old.reasons == ["there is a new bundle"]
    assert told.reasons == []


async def test_a_replica_that_drains_takes_no_orders(roster, control):
    stream = Stream()
    control.orders = Orders(move=5, changed_s=0.0)
    with roster.holding(stream, NEW, None):
        await reported(roster, control, times=2, state="draining")
    assert stream.reasons == []
