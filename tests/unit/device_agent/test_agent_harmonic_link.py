import math

import pytest

from device_agent.harmonic_link import FIRST_S_PER_BYTE, LEAST_TRANSFER_S, HarmonicLink, LastTransferLink
from device_agent.link_view import LinkView


def test_before_the_first_transfer_a_bandwidth_is_assumed_but_not_claimed() -> None:
    link = HarmonicLink()
    assert link.bandwidth_bytes_s is None
    assert link.view(0.0) == LinkView(0.0, FIRST_S_PER_BYTE, age_s=math.inf)
    assert HarmonicLink(LinkView(0.01, 4e-6)).view(0.0).s_per_byte == 4e-6


def test_the_bandwidth_is_the_harmonic_mean_of_the_last_ten_transfers() -> None:
    link = HarmonicLink()
    link.note_transfer(1, 1.0, now_s=0.0)
    for number in range(5):
        link.note_transfer(1000, 0.010, now_s=number)
        link.note_transfer(1000, 0.100, now_s=number)
    assert link.bandwidth_bytes_s == pytest.approx(2 / (1 / 100_000 + 1 / 10_000))


def test_there_is_no_base_delay_no_uncertainty_and_no_probe() -> None:
    link = HarmonicLink()
    link.note_round_trip(0.050, now_s=0.0)
    link.note_transfer(1000, 0.060, now_s=1.0)
    assert link.view(4.0) == LinkView(0.0, 0.060 / 1000, age_s=3.0)
    assert not link.wants_probe(1e6)


def test_a_transfer_never_counts_as_shorter_than_half_a_millisecond_and_one_of_no_bytes_not_at_all() -> None:
    link = HarmonicLink()
    link.note_transfer(0, 0.010, now_s=0.0)
    assert link.bandwidth_bytes_s is None
    link.note_transfer(1000, 0.0, now_s=0.0)
    assert link.bandwidth_bytes_s == pytest.approx(1000 / LEAST_TRANSFER_S)


def test_a_late_exchange_lowers_the_estimate_and_never_raises_it() -> None:
    link = HarmonicLink()
    link.note_transfer(1000, 0.010, now_s=0.0)
    before = link.bandwidth_bytes_s
    link.note_late(1_000_000, 0.3, now_s=1.0)
    assert link.bandwidth_bytes_s == before
    link.note_late(1000, 0.3, now_s=1.0)
    assert link.bandwidth_bytes_s == pytest.approx(2000 / 0.310)


def test_an_outage_leaves_the_mean_as_one_transfer() -> None:
    link = HarmonicLink()
    link.note_outage(now_s=0.0)
    assert link.bandwidth_bytes_s is None
    for link_s in (0.010, 0.020):
        link.note_transfer(1000, link_s, now_s=0.0)
    link.note_outage(now_s=5.0)
    assert link.bandwidth_bytes_s == pytest.approx(1000 / 0.015)
    link.note_transfer(1000, 0.045, now_s=6.0)
    assert link.bandwidth_bytes_s == pytest.approx(1000 / 0.030)


def test_the_last_transfer_alone_counts_where_that_is_the_estimate() -> None:
    link = LastTransferLink()
    link.note_transfer(1000, 0.010, now_s=0.0)
    link.note_transfer(1000, 0.050, now_s=0.2)
    assert link.bandwidth_bytes_s == pytest.approx(20_000)
