import time

import pytest
from answerer_bench import REPLY

from device_agent.allowance import Allowance
from device_agent.energy import EnergyModel
from device_agent.reply import NoReply

NOTHING_PER_HOUR = 1e-6
"""So little that what is left is what was spent."""


async def test_bytes_and_joules_are_spent_from_the_allowances(make_bench):
    left = {name: Allowance(NOTHING_PER_HOUR, now_s=0.0) for name in ("bytes_left", "joules_left")}
    bench = make_bench(energy=EnergyModel(extra_w=2.0, alpha_w_per_mbps=0.5), **left)
    bench.transport.reply.set_result(REPLY)
    answer = await bench.answer()
    assert answer.energy_j == pytest.approx(2.0 * 0.022 + 0.5 * 8e-6 * 350)
    assert answer.broken == ("energy", "bytes")
    now_s = time.monotonic()
    assert left["bytes_left"].left(now_s) == pytest.approx(-350, abs=0.01)
    assert left["joules_left"].left(now_s) == pytest.approx(-answer.energy_j, abs=0.001)


async def test_the_devices_own_answer_costs_joules_on_top_of_the_head(make_bench):
    bench = make_bench(energy=EnergyModel(extra_w=2.0))
    bench.transport.reply.set_result(NoReply("link_down"))
    answer = await bench.answer()
    assert answer.energy_j == pytest.approx(2.0 * (0.022 + answer.parts.local))


async def test_what_probes_moved_between_two_frames_is_spent_once(make_bench):
    left = Allowance(NOTHING_PER_HOUR, now_s=0.0)
    bench = make_bench(bytes_left=left)
    bench.transport.reply.set_result(REPLY)
    bench.transport.probe_bytes += 2064
    for spent in (350 + 2064, 2 * 350 + 2064):
        answer = await bench.answer()
        assert answer.moved_bytes == 350
        assert left.left(time.monotonic()) == pytest.approx(-spent, abs=0.01)
