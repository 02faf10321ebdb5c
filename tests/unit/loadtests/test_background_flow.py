import pytest

from loadtests.background_flow import CHUNK_S, BackgroundFlow, ChunkSchedule
from loadtests.bottleneck import PACKET_BYTES
from loadtests.link_script import LinkState
from loadtests.relay_lane import Lane
from wire.errors import SettingError

# 100 packets a second.
RATE_MBPS = 100 * PACKET_BYTES * 8e-6


def test_chunks_fall_due_at_the_rate_however_late_they_are_taken() -> None:
    schedule = ChunkSchedule(RATE_MBPS, began_s=50.0)

    assert schedule.packets == 1
    assert list(schedule.take_due(50.0)) == []
    assert list(schedule.take_due(50.025)) == pytest.approx([50.01, 50.02])
    assert list(schedule.take_due(50.026)) == []
    assert len(list(schedule.take_due(52.005))) == 198
    assert schedule.next_s == pytest.approx(52.01)


def test_a_fast_flow_sends_the_packets_of_a_few_milliseconds_at_once() -> None:
    schedule = ChunkSchedule(50.0, began_s=0.0)

    assert CHUNK_S <= schedule.next_s < 1.1 * CHUNK_S
    assert schedule.packets * PACKET_BYTES / schedule.next_s == pytest.approx(50e6 / 8)


@pytest.mark.parametrize("rate_mbps", [-1.0, float("nan"), 1e9])
def test_a_rate_that_no_flow_can_have_is_refused(rate_mbps: float) -> None:
    flow = BackgroundFlow(Lane(LinkState(8.0, 0.0), queue_bytes=100_000))

    with pytest.raises(SettingError, match="cannot run at"):
        flow.set_rate(rate_mbps)
