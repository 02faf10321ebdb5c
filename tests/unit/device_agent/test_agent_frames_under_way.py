import asyncio

import pytest

from device_agent.frames_under_way import OUTAGE_S, FramesUnderWay, SentFrame
from device_agent.stream import PointStream, Received
from wire.errors import ClusterUnreachable
from wire.ids import PointName
from wire.messages import GoAway


@pytest.fixture
def stream():
    return PointStream(None, PointName("mid"))


@pytest.fixture
def book():
    return FramesUnderWay()


def sent_on(stream, *, sent_s=10.0):
    return SentFrame(stream, asyncio.get_running_loop().create_future(), sent_bytes=100, pack_s=0.0, sent_s=sent_s)


def received(at_s=10.1):
    return Received(GoAway(grace_s=0.0, reason="of any kind"), 60, at_s, 0.0)


async def test_a_reply_goes_to_the_frame_that_waits_for_it_once(book, stream):
    sent, reply = sent_on(stream), received()
    book.add(7, sent)
    assert book.settle(7, reply) is sent
    assert sent.reply.result() is reply
    assert book.find(7) is None
    assert book.settle(7, reply) is None
    assert book.late_dropped == 1


async def test_a_reply_to_a_frame_that_was_given_up_is_dropped_and_still_tells_of_the_link(book, stream):
    sent = sent_on(stream)
    book.add(7, sent)
    book.abandon(7, sent)
    book.forget(7)
    assert book.settle(7, received()) is sent
    assert not sent.reply.done()
    assert book.late_dropped == 1


async def test_a_reply_after_an_outage_tells_nothing_of_the_link(book, stream):
    book.abandon(7, sent_on(stream, sent_s=10.0))
    assert book.settle(7, received(at_s=10.0 + OUTAGE_S)) is None


async def test_only_so_many_abandoned_frames_are_remembered(book, stream):
    for frame_id in range(300):
        book.abandon(frame_id, sent_on(stream))
    assert book.settle(0, received()) is None
    assert book.settle(299, received()) is not None


async def test_giving_up_ends_a_wait_as_time_does(book, stream):
    sent = sent_on(stream)
    book.add(7, sent)
    book.give_up(7)
    book.give_up(8)
    with pytest.raises(TimeoutError):
        await sent.reply


async def test_a_cut_stream_fails_its_own_frames_alone(book, stream):
    mine, other = sent_on(stream), sent_on(PointStream(None, PointName("late")))
    book.add(1, mine)
    book.add(2, other)
    book.fail(stream, ClusterUnreachable("cut"))
    with pytest.raises(ClusterUnreachable):
        await mine.reply
    assert not other.reply.done()
    assert book.replies_on(other.stream) == [other.reply]
