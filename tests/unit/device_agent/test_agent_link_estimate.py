"""What ``KalmanLink`` learns. Long, since one filter has many ways to be misled, and all are told on one course."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent import kalman_link
from device_agent.harmonic_link import HarmonicLink, LastTransferLink
from device_agent.kalman_link import (
    EXCHANGE_S,
    FIRST_VIEW,
    LEAST_BASE_S,
    LEAST_S_PER_BYTE,
    MOST_EXCHANGE_S,
    MOST_S_PER_BYTE,
    KalmanLink,
)
from device_agent.link_estimate import make_link
from device_agent.link_view import LinkView

bounded = settings(derandomize=True, deadline=None, max_examples=200)

EVERY_S = 0.2
PING_EVERY = 10
BYTES_S_PER_MBPS = 125_000.0


@pytest.fixture(scope="module", autouse=True)
def an_exchange_is_as_quick_as_a_ping() -> Iterator[None]:
    """Hypothesis refuses a fixture of each function."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kalman_link, "EXCHANGE_S", 0.0)
        yield


class Course:
    """A link of known base and bandwidth, and what its estimate is told of it, five exchanges a second."""

    def __init__(self, mbps: float, base_s: float = 0.020, jitter_s: float = 0.0, seed: int = 0) -> None:
        self.link = KalmanLink()
        self.mbps = mbps
        self.base_s = base_s
        self.now_s = 100.0
        self._jitter_s = jitter_s
        self._random = random.Random(seed)
        self._exchanges = 0
        for _ in range(3):
            self.ping()

    @property
    def estimate_mbps(self) -> float:
        return self.link.view(self.now_s).bandwidth_bytes_s / BYTES_S_PER_MBPS

    def ping(self) -> None:
        self.link.note_round_trip(self.base_s + self._jitter(), now_s=self.now_s)

    def exchange(self, moved_bytes: int, count: int = 1, stall_s: float = 0.0) -> None:
        for _ in range(count):
            took_s = self.base_s + moved_bytes / (self.mbps * BYTES_S_PER_MBPS) + self._jitter() + stall_s
            self.link.note_transfer(moved_bytes, took_s, now_s=self.now_s + took_s)
            self.now_s += max(EVERY_S, took_s)
            self._exchanges += 1
            if self._exchanges % PING_EVERY == 0:
                self.ping()

    def _jitter(self) -> float:
        return abs(self._random.gauss(0.0, self._jitter_s))


def test_before_anything_is_known_a_link_is_assumed_with_much_doubt_but_no_bandwidth_is_claimed() -> None:
    link = KalmanLink()
    view = link.view(5.0)
    assert link.bandwidth_bytes_s is None
    assert (view.base_s, view.s_per_byte) == (FIRST_VIEW.base_s, FIRST_VIEW.s_per_byte)
    assert view.base_sd_s > view.base_s
    assert view.s_per_byte_sd > view.s_per_byte
    assert view.age_s == math.inf


@pytest.mark.parametrize(("mbps", "base_s"), [(1, 0.020), (5, 0.020), (20, 0.005), (50, 0.020), (0.3, 0.100)])
def test_exchanges_of_two_sizes_tell_base_and_bandwidth_apart_without_a_ping(mbps: float, base_s: float) -> None:
    link = KalmanLink()
    for number in range(10):
        moved_bytes = (500, 5000)[number % 2]
        link.note_transfer(moved_bytes, base_s + moved_bytes / (mbps * BYTES_S_PER_MBPS), now_s=number * EVERY_S)
    view = link.view(2.0)
    assert view.base_s == pytest.approx(base_s, rel=0.05)
    assert view.bandwidth_bytes_s == pytest.approx(mbps * BYTES_S_PER_MBPS, rel=0.05)


def test_what_an_exchange_takes_more_than_a_ping_counts_as_base_delay_and_not_as_slow_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kalman_link, "EXCHANGE_S", EXCHANGE_S)
    assert EXCHANGE_S > 0
    course = Course(mbps=5)
    for number in range(40):
        took_s = course.base_s + EXCHANGE_S + 1000 / (5 * BYTES_S_PER_MBPS)
        course.link.note_transfer(1000, took_s, now_s=course.now_s)
        course.now_s += EVERY_S
        if number % PING_EVERY == 0:
            course.ping()
    view = course.link.view(course.now_s)
    assert course.estimate_mbps == pytest.approx(5, rel=0.05)
    assert view.base_s == pytest.approx(course.base_s + EXCHANGE_S, rel=0.01)


def test_small_transfers_alone_say_next_to_nothing_of_the_bandwidth() -> None:
    course = Course(mbps=1, jitter_s=0.002)
    course.exchange(40, count=50)
    view = course.link.view(course.now_s)
    assert course.link.bandwidth_bytes_s is None
    assert view.s_per_byte == pytest.approx(FIRST_VIEW.s_per_byte, rel=0.5)
    assert view.s_per_byte_sd > view.s_per_byte
    assert view.base_s == pytest.approx(0.020, abs=0.002)


def test_pings_move_the_base_delay_and_leave_the_time_a_byte_alone() -> None:
    link = KalmanLink()
    for number in range(10):
        link.note_round_trip(0.045, now_s=2.0 * number)
    assert link.view(20.0).base_s == pytest.approx(0.045, rel=0.02)
    assert link.view(20.0).s_per_byte == FIRST_VIEW.s_per_byte


@pytest.mark.parametrize("mbps", [1, 2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_a_tenfold_drop_is_followed_within_two_exchanges(mbps: float, seed: int) -> None:
    course = Course(mbps, jitter_s=0.002, seed=seed)
    course.exchange(1000, count=60)
    course.mbps = mbps / 10
    course.exchange(1000, count=2)
    assert 1 / 1.5 < course.estimate_mbps / course.mbps < 1.5


def test_where_the_link_fell_while_an_exchange_was_under_way_the_next_one_of_its_size_is_believed() -> None:
    course = Course(mbps=3, jitter_s=0.001)
    course.exchange(6000, count=60)
    course.exchange(6000, stall_s=0.018)  # only its last bytes were as slow as all of the next ones
    course.mbps = 0.3
    course.exchange(6000)
    assert course.estimate_mbps == pytest.approx(0.3, rel=0.1)


def test_a_small_exchange_behind_a_slow_large_one_adds_little_to_what_that_one_told() -> None:
    course = Course(mbps=4, jitter_s=0.001)
    course.exchange(6000, count=60)
    course.mbps = 1.5
    course.exchange(6000)
    course.exchange(1000, stall_s=0.008)
    assert course.estimate_mbps == pytest.approx(1.5, rel=0.1)


def test_a_tenfold_rise_takes_several_exchanges_and_then_is_believed() -> None:
    course = Course(mbps=0.5)
    course.exchange(1000, count=60)
    course.mbps = 5
    course.exchange(1000)
    assert course.estimate_mbps < 1.1
    course.exchange(1000)
    assert course.estimate_mbps < 2.1
    course.exchange(1000, count=18)
    assert course.estimate_mbps == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize("moved_bytes", [40, 300, 1000])
def test_a_stall_of_one_exchange_does_not_destroy_the_bandwidth(moved_bytes: int) -> None:
    course = Course(mbps=5)
    course.exchange(1000, count=60)
    before = course.estimate_mbps
    course.exchange(moved_bytes, stall_s=0.3)
    assert course.estimate_mbps > 0.7 * before
    assert course.link.view(course.now_s).base_s == pytest.approx(0.020, rel=0.05)
    course.exchange(1000, count=3)
    assert course.estimate_mbps == pytest.approx(before, rel=0.1)


def test_exchanges_held_up_by_the_same_stall_are_one_witness() -> None:
    course = Course(mbps=5)
    course.exchange(1000, count=60)
    before = course.estimate_mbps
    for late_s in (0.30, 0.28, 0.26):
        course.link.note_transfer(1000, late_s, now_s=course.now_s + 0.30)
    assert course.estimate_mbps > 0.5 * before


def test_small_exchanges_that_are_well_do_not_hide_that_large_ones_have_become_slow() -> None:
    course = Course(mbps=5)
    course.exchange(5000, count=60)
    course.mbps = 0.5
    for _ in range(2):
        course.exchange(5000)
        course.link.note_transfer(40, 0.020, now_s=course.now_s)
    assert course.estimate_mbps == pytest.approx(0.5, rel=0.5)


def test_one_slow_ping_does_not_raise_the_base_delay_and_three_in_a_row_do() -> None:
    course = Course(mbps=5)
    course.base_s = 0.080
    course.ping()
    assert course.link.view(course.now_s).base_s < 0.025
    course.ping()
    course.ping()
    assert course.link.view(course.now_s).base_s == pytest.approx(0.080, rel=0.05)


def test_an_exchange_that_is_faster_than_the_base_delay_lowers_it_at_once() -> None:
    course = Course(mbps=50, base_s=0.080)
    course.base_s = 0.010
    course.exchange(100)
    assert course.link.view(course.now_s).base_s < 0.0101
    course.exchange(1000)
    assert course.link.view(course.now_s).base_s < 0.0105


def test_a_cluster_that_counts_more_than_the_round_trip_is_taken_for_a_very_near_one() -> None:
    link = KalmanLink()
    link.note_transfer(1000, -0.001, now_s=0.0)
    assert link.view(0.0).base_s == LEAST_BASE_S


def test_uncertainty_grows_while_nothing_is_learnt_and_the_means_stay() -> None:
    course = Course(mbps=2)
    course.exchange(1000, count=60)
    fresh, later, much_later = (course.link.view(course.now_s + idle_s) for idle_s in (0.0, 2.0, 3600.0))
    assert fresh.s_per_byte_sd < 0.5 * fresh.s_per_byte
    assert fresh.s_per_byte_sd < later.s_per_byte_sd < much_later.s_per_byte_sd < 2 * fresh.s_per_byte
    assert fresh.base_sd_s < later.base_sd_s < much_later.base_sd_s
    assert fresh.s_per_byte == much_later.s_per_byte
    assert much_later.age_s == pytest.approx(3600.0, abs=1.0)


def test_what_exchanges_have_differed_by_is_part_of_the_uncertainty() -> None:
    steady, restless = Course(mbps=2), Course(mbps=2)
    for _ in range(60):
        steady.exchange(3000)
        restless.mbps = 4 if restless.mbps == 1 else 1
        restless.exchange(3000)
    steady_view, restless_view = steady.link.view(steady.now_s), restless.link.view(restless.now_s)
    assert restless_view.s_per_byte_sd / restless_view.s_per_byte > 1.5 * (
        steady_view.s_per_byte_sd / steady_view.s_per_byte
    )


def probes_wanted(course: Course, until_s: float, answer: Callable[[], None]) -> list[float]:
    """Sleep until then, a tenth of a second at a time, and answer every probe; gives when they were wanted."""
    begun_s, wanted_s = course.now_s, []
    while course.now_s < begun_s + until_s:
        if course.link.wants_probe(course.now_s):
            wanted_s.append(course.now_s - begun_s)
            answer()
        course.now_s += 0.1
    return wanted_s


def waits(times_s: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times_s)]


def test_a_new_link_wants_a_probe_and_one_with_traffic_does_not() -> None:
    course = Course(mbps=2)
    assert course.link.wants_probe(course.now_s)
    course.exchange(1000, count=20)
    assert not course.link.wants_probe(course.now_s)


def test_an_idle_link_is_probed_ever_more_rarely_while_nothing_changes() -> None:
    course = Course(mbps=2)
    course.exchange(1000, count=20)
    wanted_s = probes_wanted(course, 200.0, lambda: course.exchange(1000))
    assert 1.5 < wanted_s[0] < 2.5
    assert waits(wanted_s)[:2] == pytest.approx([4.0, 8.0], abs=0.5)
    assert waits(wanted_s)[2:] == pytest.approx([10.0] * len(waits(wanted_s)[2:]), abs=0.5)
    assert len(wanted_s) > 15


def test_news_make_probes_frequent_again() -> None:
    course = Course(mbps=2)
    course.exchange(1000, count=20)
    probes_wanted(course, 100.0, lambda: course.exchange(1000))
    course.mbps = 0.2
    wanted_s = probes_wanted(course, 60.0, lambda: course.exchange(1000))
    assert min(waits(wanted_s)[:3]) < 3.0
    assert course.estimate_mbps == pytest.approx(0.2, rel=0.5)


def test_a_large_exchange_that_was_held_up_once_does_not_keep_probes_frequent() -> None:
    course = Course(mbps=5)
    course.exchange(5000, count=20)
    course.exchange(5000, stall_s=0.3)
    assert len(probes_wanted(course, 120.0, lambda: course.exchange(1000))) <= 14


def test_a_probe_that_is_late_for_nothing_new_counts_as_one() -> None:
    course = Course(mbps=0.05)
    course.exchange(1000, count=10)
    course.now_s += 10.0
    assert course.link.wants_probe(course.now_s)
    course.link.note_late(1000, 0.1, now_s=course.now_s)
    assert not course.link.wants_probe(course.now_s + 1.0)


def test_a_link_so_fast_that_a_probe_says_little_is_probed_as_rarely_as_can_be() -> None:
    course = Course(mbps=1000, base_s=0.001)
    course.exchange(1000, count=60)
    wanted_s = probes_wanted(course, 300.0, lambda: course.exchange(1000))
    assert wanted_s[0] > 9.0
    assert min(waits(wanted_s)) > 9.0


def test_probes_restore_within_seconds_what_a_row_of_stalls_has_destroyed() -> None:
    course = Course(mbps=5)
    course.exchange(1000, count=60)
    course.exchange(1000, count=3, stall_s=0.3)
    assert course.estimate_mbps < 0.5
    assert len(probes_wanted(course, 8.0, lambda: course.exchange(1000))) <= 4
    assert course.estimate_mbps == pytest.approx(5, rel=0.4)


def test_an_outage_leaves_the_means_and_takes_the_certainty() -> None:
    course = Course(mbps=2)
    course.exchange(1000, count=60)
    before = course.link.view(course.now_s)
    course.link.note_outage(now_s=course.now_s)
    after = course.link.view(course.now_s)
    assert (after.base_s, after.s_per_byte) == (before.base_s, before.s_per_byte)
    assert after.base_sd_s > after.base_s
    assert after.s_per_byte_sd > after.s_per_byte
    assert course.link.bandwidth_bytes_s is not None
    assert course.link.wants_probe(course.now_s)


def test_after_an_outage_the_first_exchange_may_say_that_the_link_is_a_far_better_one() -> None:
    course = Course(mbps=0.5)
    course.exchange(1000, count=60)
    course.link.note_outage(now_s=course.now_s)
    course.mbps = 4
    course.ping()
    course.exchange(1000)
    assert course.estimate_mbps == pytest.approx(4, rel=0.3)


def test_an_exchange_that_is_late_as_expected_says_nothing() -> None:
    course = Course(mbps=0.05)
    course.exchange(1000, count=30)
    before = course.link.view(course.now_s)
    course.link.note_late(1000, 0.1, now_s=course.now_s)
    assert course.link.view(course.now_s) == before


def test_exchanges_that_are_late_lower_the_bandwidth_to_what_they_allow() -> None:
    course = Course(mbps=5)
    course.exchange(1000, count=60)
    for _ in range(3):
        course.now_s += 0.4
        course.link.note_late(1000, 0.3, now_s=course.now_s)
    most_mbps = 1000 / 0.280 / BYTES_S_PER_MBPS
    assert course.estimate_mbps == pytest.approx(most_mbps, rel=0.5)
    assert course.link.view(course.now_s).base_s == pytest.approx(0.020, rel=0.1)


def test_what_one_run_knew_the_next_begins_with_in_doubt() -> None:
    course = Course(mbps=2)
    course.exchange(1000, count=60)
    known = course.link.view(course.now_s)
    link = KalmanLink(LinkView.from_plain(known.as_plain()))
    assert link.view(0.0).base_s == known.base_s
    assert link.view(0.0).s_per_byte == known.s_per_byte
    assert link.view(0.0).s_per_byte_sd > known.s_per_byte
    assert link.bandwidth_bytes_s is None


@pytest.mark.parametrize(
    "plain",
    [{}, {"base_s": 0.01}, {"base_s": "0.01", "s_per_byte": 1e-6}, {"base_s": 0.01, "s_per_byte": 0.0}]
    + [{"base_s": value, "s_per_byte": 1e-6} for value in (-1.0, math.nan, math.inf)],
)
def test_a_profile_that_holds_no_link_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="link"):
        LinkView.from_plain(plain)


def test_a_link_is_made_by_the_name_of_its_kind() -> None:
    prior = LinkView(base_s=0.02, s_per_byte=4e-6)
    for kind, cls in (("kalman", KalmanLink), ("harmonic", HarmonicLink), ("last", LastTransferLink)):
        link = make_link(kind, prior)
        assert type(link) is cls
        assert link.view(0.0).s_per_byte == 4e-6
        assert link.bandwidth_bytes_s is None


seconds = st.floats(-1.0, 1e9)
bytes_moved = st.integers(0, 2**40)
calls = st.lists(
    st.tuples(
        st.sampled_from(["ping", "transfer", "late", "outage"]),
        bytes_moved | st.integers(0, 2000),
        seconds | st.floats(0.0, 1.0),
        st.floats(-1.0, 1e6) | st.floats(0.0, 1.0),
    ),
    max_size=40,
)


@bounded
@given(calls, st.none() | st.builds(LinkView, st.floats(0.0, 1e6), st.floats(1e-12, 1e6)))
def test_whatever_it_is_told_an_estimate_is_a_number_within_its_bounds(
    told: list[tuple[str, int, float, float]], prior: LinkView | None
) -> None:
    link, now_s = KalmanLink(prior), 0.0
    for name, moved_bytes, took_s, elapsed_s in told:
        now_s += elapsed_s
        match name:
            case "ping":
                link.note_round_trip(took_s, now_s=now_s)
            case "transfer":
                link.note_transfer(moved_bytes, took_s, now_s=now_s)
            case "late":
                link.note_late(moved_bytes, took_s, now_s=now_s)
            case "outage":
                link.note_outage(now_s=now_s)
        view = link.view(now_s)
        assert LEAST_BASE_S <= view.base_s <= MOST_EXCHANGE_S
        assert LEAST_S_PER_BYTE <= view.s_per_byte <= MOST_S_PER_BYTE
        assert 0.0 < view.base_sd_s < math.inf
        assert 0.0 <= view.s_per_byte_sd < math.inf
        assert view.age_s >= 0.0
        assert link.wants_probe(now_s) in (True, False)


@bounded
@given(calls)
def test_asking_changes_nothing(told: list[tuple[str, int, float, float]]) -> None:
    asked, unasked, now_s = KalmanLink(), KalmanLink(), 0.0
    for _, moved_bytes, took_s, elapsed_s in told:
        now_s += elapsed_s
        asked.view(now_s + 50.0)
        asked.wants_probe(now_s + 50.0)
        for link in (asked, unasked):
            link.note_transfer(moved_bytes, took_s, now_s=now_s)
    assert asked.view(now_s) == unasked.view(now_s)


def test_an_exchange_far_too_slow_is_a_surprise_until_another_one_tells_why() -> None:
    stalled, fallen = Course(mbps=3), Course(mbps=3)
    for course in (stalled, fallen):
        course.exchange(6000, count=20)
        assert not course.link.surprised
    fallen.mbps = 0.3
    for course in (stalled, fallen):
        course.exchange(6000, stall_s=0.15 if course is stalled else 0.0)
        assert course.link.surprised
        course.exchange(1000)
        assert not course.link.surprised
    assert stalled.estimate_mbps > 1.0
    # The second witness is believed, and the first one, which moved more bytes, with it.
    assert fallen.estimate_mbps == pytest.approx(0.3, rel=0.2)


def test_a_surprise_that_a_probe_could_not_tell_from_noise_is_none() -> None:
    course = Course(mbps=100, base_s=0.001)
    course.exchange(6000, count=60)
    course.exchange(6000, stall_s=0.012)
    assert not course.link.surprised
