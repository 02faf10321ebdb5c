import time

import numpy as np
import pytest
from agent_fakes import PICTURE, load
from answerer_bench import PIXELS, REPLY

from device_agent.frame_feed import DueFrame
from device_agent.option_costs import ACTIVITY_EXPONENT, MESSAGE_BYTES, REPLY_BYTES, SIZE_WEIGHT
from device_agent.spatial_activity import spatial_activity


def frame() -> DueFrame:
    return DueFrame(frame_id=7, pixels=PICTURE, due_s=time.monotonic())


async def test_between_frames_the_size_of_the_last_one_as_a_picture_is_looked_at_and_nothing_is_sent(make_bench):
    bench = make_bench(policy="auto")
    costs = bench.decider.costs
    row = costs.row(PIXELS.id)
    before = costs.moved_bytes
    await bench.answerer.look_ahead(frame())
    expected = before.copy()
    would_be = len(b"look 0") + MESSAGE_BYTES + REPLY_BYTES
    expected[row] += SIZE_WEIGHT * (would_be - before[row])
    assert costs.moved_bytes == pytest.approx(expected)
    assert bench.head.runs == {"head": 1, "refine": 0, "whole": 0}
    assert not bench.transport.asked.is_set()
    # It says nothing of how fast the device is at what it answers with.
    assert costs.k_mobile == 1.0
    await bench.answerer.look_ahead(frame())
    assert bench.head.runs["head"] == 1


async def test_of_every_frame_it_is_known_how_large_a_picture_it_will_be_before_the_choice(make_bench):
    bench = make_bench()
    bench.transport.reply.set_result(REPLY)
    stripes = np.zeros_like(PICTURE)
    stripes[:, ::2] = 100
    costs, row = bench.decider.costs, bench.decider.costs.row(PIXELS.id)
    costs.note_activity(spatial_activity(stripes) / 2)
    before = costs.moved_bytes[row] - REPLY_BYTES
    await bench.answerer.answer(DueFrame(frame_id=7, pixels=stripes, due_s=time.monotonic()))
    assert costs.moved_bytes[row] - REPLY_BYTES == pytest.approx(before * 2**ACTIVITY_EXPONENT)


async def test_no_size_is_looked_at_where_the_option_is_fixed(make_bench):
    bench = make_bench(policy="fixed:mid")
    bench.transport.reply.set_result(REPLY)
    await bench.answer()
    await bench.answerer.look_ahead(frame())
    assert bench.head.runs["head"] == 1


async def test_a_stream_that_would_be_better_is_opened_and_its_head_made_ready_between_frames(make_bench):
    bench = make_bench(policy="auto")
    bench.transport.cluster.note_loads([load("mid", service_s=0.001, queue_s=0.0)], now_s=time.monotonic())
    bench.transport.opened.clear()
    bench.transport.reply.set_result(REPLY)
    await bench.answer()
    assert bench.transport.opened_ahead == ["mid"]
    assert bench.head.warmed == []
    await bench.answerer.look_ahead(frame())
    assert [option.point for option in bench.head.warmed] == ["mid"]
    await bench.answerer.look_ahead(frame())
    assert len(bench.head.warmed) == 1
