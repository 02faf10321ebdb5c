from contextlib import ExitStack

import pytest
from serve_fakes import Clock

from serve_apps.stream_roster import ASK_AGAIN_S, RATE_S, RateMeter, StreamRoster

NEW, OLD = "a" * 64, "b" * 64


class Stream:
    """Notes what it is asked."""

    def __init__(self):
        self.asked = []

    async def go_away(self, reason, *, grace_s):
        self.asked.append((reason, grace_s))


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def roster(clock):
    return StreamRoster(clock=clock)


@pytest.fixture
def hold(roster, clock):
    """Opens a stream a second."""
    with ExitStack() as stack:

        def holding(count, bundle=NEW):
            streams = []
            for _ in range(count):
                streams.append(Stream())
                stack.enter_context(roster.holding(streams[-1], bundle, ("127.0.0.1", 30000)))
                clock.now_s += 1.0
            return streams

        yield holding


async def test_the_oldest_streams_are_asked_first_and_no_more_than_wanted(roster, hold):
    streams = hold(5)
    assert await roster.send_away(2, "to even out") == 2
    assert [bool(stream.asked) for stream in streams] == [True, True, False, False, False]
    assert streams[0].asked[0][0] == "to even out"


async def test_whoever_was_asked_just_now_is_not_asked_again_and_counts_as_leaving(roster, hold, clock):
    streams = hold(3)
    await roster.send_away(2, "once")
    assert (len(roster), roster.staying) == (3, 1)
    await roster.send_away(3, "twice")
    assert [len(stream.asked) for stream in streams] == [1, 1, 1]
    clock.now_s += ASK_AGAIN_S
    await roster.send_away(3, "again")
    assert [len(stream.asked) for stream in streams] == [2, 2, 2]


async def test_streams_from_before_a_change_can_be_told_from_later_ones(roster, hold):
    before = hold(3)
    after = hold(2)
    assert roster.older_than(2.5) == 3
    await roster.send_away(9, "changed", older_than_s=2.5)
    assert [len(stream.asked) for stream in before + after] == [1, 1, 1, 0, 0]


async def test_streams_of_another_bundle_can_be_told_of_the_new_one(roster, hold):
    old, new = hold(3, OLD), hold(2, NEW)
    assert (roster.using(OLD), roster.not_using(NEW)) == (3, 3)
    assert await roster.send_away_others(NEW, 2, "a new bundle", older_than_s=0.0) == 2
    assert sum(len(stream.asked) for stream in old) == 2
    assert not any(stream.asked for stream in new)


def test_a_stream_that_ends_is_held_no_more(roster):
    with roster.holding(Stream(), NEW, ("127.0.0.1", 30000)):
        assert len(roster) == 1
    assert len(roster) == 0
    assert roster.server == ("127.0.0.1", 30000)


def test_frames_are_counted_by_the_second_and_forgotten_when_none_come(roster, clock):
    for _ in range(200):
        clock.now_s += 0.05
        roster.note_arrived()
        roster.note_answered()
    assert roster.arrived_s == pytest.approx(20, rel=0.05)
    assert roster.answered_s == pytest.approx(20, rel=0.05)
    assert roster.idle_s == 0
    clock.now_s += 5 * RATE_S
    assert roster.arrived_s < 0.2
    assert roster.idle_s == 5 * RATE_S


def test_a_rate_of_nothing_is_nothing():
    assert RateMeter().per_s(1e9) == 0.0
