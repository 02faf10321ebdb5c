import pytest

from device_agent.link import (
    FIRST_BANDWIDTH_BYTES_S,
    FIRST_BASE_S,
    IDLE_GROWTH,
    LEAST_TRANSFER_S,
    LinkEstimate,
    harmonic_mean,
)


def with_base(base_s: float) -> LinkEstimate:
    link = LinkEstimate()
    link.note_round_trip(base_s)
    return link


def test_before_anything_is_known_a_bandwidth_is_assumed_but_not_claimed() -> None:
    link = LinkEstimate()
    assert link.bandwidth_bytes_s is None
    assert link.view().bandwidth_bytes_s == FIRST_BANDWIDTH_BYTES_S
    assert link.view().base_s == FIRST_BASE_S


def test_a_transfer_is_the_round_trip_less_cluster_time_and_base_delay() -> None:
    link = with_base(0.020)
    link.note_transfer(1000, round_trip_s=0.050, cluster_s=0.010)
    assert link.bandwidth_bytes_s == pytest.approx(1000 / 0.020)


def test_a_transfer_never_counts_as_shorter_than_half_a_millisecond() -> None:
    link = with_base(0.020)
    link.note_transfer(1000, round_trip_s=0.020, cluster_s=0.010)
    assert link.bandwidth_bytes_s == pytest.approx(1000 / LEAST_TRANSFER_S)


def test_the_bandwidth_is_the_harmonic_mean_of_the_last_ten_transfers() -> None:
    link = with_base(0.0)
    link.note_transfer(1, round_trip_s=1.0, cluster_s=0.0)
    for _ in range(5):
        link.note_transfer(1000, round_trip_s=0.010, cluster_s=0.0)
        link.note_transfer(1000, round_trip_s=0.100, cluster_s=0.0)
    assert link.bandwidth_bytes_s == pytest.approx(harmonic_mean([100_000.0, 10_000.0]))


def test_the_base_delay_is_the_least_of_the_recent_pings_and_forgets_old_ones() -> None:
    link = with_base(0.001)
    link.note_round_trip(0.030)
    assert link.base_s == 0.001
    for _ in range(5):
        link.note_round_trip(0.030)
    assert link.base_s == 0.030


def test_a_late_frame_lowers_the_estimate_and_never_raises_it() -> None:
    link = with_base(0.0)
    link.note_transfer(1000, round_trip_s=0.010, cluster_s=0.0)
    before = link.bandwidth_bytes_s
    link.note_late(1_000_000, waited_s=0.3)
    assert link.bandwidth_bytes_s == before
    link.note_late(1000, waited_s=0.3)
    assert link.bandwidth_bytes_s == pytest.approx(harmonic_mean([100_000.0, 1000 / 0.3]))


def test_an_outage_leaves_the_mean_as_one_sample() -> None:
    link = with_base(0.0)
    for round_trip_s in (0.010, 0.020):
        link.note_transfer(1000, round_trip_s=round_trip_s, cluster_s=0.0)
    mean = link.bandwidth_bytes_s
    link.reset_after_outage()
    assert link.bandwidth_bytes_s == mean
    assert link.base_s == FIRST_BASE_S
    link.note_round_trip(0.0)
    link.note_transfer(1000, round_trip_s=0.001, cluster_s=0.0)
    assert mean is not None
    assert link.bandwidth_bytes_s == pytest.approx(harmonic_mean([mean, 1e6]))


def test_a_low_estimate_that_nothing_confirms_grows_until_it_is_what_is_assumed_at_first() -> None:
    link = with_base(0.0)
    link.note_transfer(1000, round_trip_s=1.0, cluster_s=0.0)
    link.note_idle()
    assert link.bandwidth_bytes_s == pytest.approx(1000)
    link.note_idle()
    assert link.bandwidth_bytes_s == pytest.approx(1000 * IDLE_GROWTH)
    for _ in range(100):
        link.note_idle()
    assert FIRST_BANDWIDTH_BYTES_S <= (link.bandwidth_bytes_s or 0) < 2 * FIRST_BANDWIDTH_BYTES_S
