import asyncio

import pytest
from serve_fakes import until

from serve_apps import drain
from serve_apps.drain import Drain
from serve_apps.stream_roster import StreamRoster

BUNDLE = "a" * 64


class Stream:
    """Goes when it is asked to, unless it is deaf."""

    def __init__(self):
        self.asked = 0
        self.gone = asyncio.Event()

    async def go_away(self, _reason, *, grace_s):
        assert grace_s > 0
        self.asked += 1
        self.gone.set()


@pytest.fixture
def roster():
    return StreamRoster()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    for name in ("LOOK_EVERY_S", "DEREGISTER_S", "ROUND_S"):
        monkeypatch.setattr(drain, name, 0.0)


async def test_nobody_is_sent_away_until_the_replica_is_being_stopped_and_then_everybody_is(roster):
    stopping = False

    async def is_stopping():
        return stopping

    draining = Drain(roster, is_stopping)
    streams = [Stream() for _ in range(3)]
    with roster.holding(streams[0], BUNDLE, None), roster.holding(streams[1], BUNDLE, None):
        task = asyncio.create_task(draining.run())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not draining.draining
        assert [stream.asked for stream in streams] == [0, 0, 0]
        stopping = True
        await until(lambda: all(stream.asked for stream in streams[:2]))
        assert draining.draining
        with roster.holding(streams[2], BUNDLE, None):  # one that came although the replica drains
            await until(lambda: streams[2].asked)
        assert [stream.asked for stream in streams] == [1, 1, 1]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_replica_that_never_had_a_stream_asks_nobody(roster):
    page = drain.OwnHealthPage(roster)
    assert asyncio.run(page()) is False
