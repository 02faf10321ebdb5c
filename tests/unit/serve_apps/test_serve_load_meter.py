import pytest

from serve_apps.load_meter import ALONE_SLOWER, HALF_LIFE_S, MEMORY, QUEUE_HALF_LIFE_S, WINDOW_S, LoadMeter
from serve_apps.node_load import NodeLoad

UNLOADED_S = 0.010


@pytest.fixture
def meter():
    return LoadMeter("mid", unloaded_s=UNLOADED_S, now=100.0)


def answer(meter, now, *, service_s=UNLOADED_S, queue_s=0.0, busy_s=0.01):
    meter.answered(service_s=service_s, queue_s=queue_s, busy_s=busy_s, now=now)


def test_a_new_replica_starts_and_says_what_a_frame_takes_without_load(meter):
    signal = meter.signal(100.0)
    assert (signal.point, signal.state, signal.replicas) == ("mid", "starting", 1)
    assert (signal.service_s, signal.queue_s, signal.utilisation, signal.in_flight) == (UNLOADED_S, 0.0, 0.0, 0)


def test_a_frame_moves_the_service_time_a_little(meter):
    answer(meter, 100.0, service_s=UNLOADED_S + 0.100)
    assert meter.signal(100.0).service_s == pytest.approx(UNLOADED_S + MEMORY * 0.100)


def test_the_service_time_settles_on_what_frames_take(meter):
    for _ in range(200):
        answer(meter, 100.0, service_s=0.300)
    assert meter.signal(100.0).service_s == pytest.approx(0.300, rel=1e-3)


def test_an_idle_replica_forgets_that_it_was_slow(meter):
    for _ in range(200):
        answer(meter, 100.0, service_s=0.410)
    assert meter.signal(100.0 + HALF_LIFE_S).service_s == pytest.approx(0.210, rel=1e-3)
    assert meter.signal(100.0 + 20 * HALF_LIFE_S).service_s == pytest.approx(UNLOADED_S, rel=1e-3)


def test_frames_that_come_alone_correct_what_was_seen_while_all_started(meter):
    for step in range(10):
        meter.answered(service_s=0.002, queue_s=0.0, busy_s=0.002, alone=True, now=100.0 + step)
    assert meter.signal(100.0 + 30 * HALF_LIFE_S).service_s == pytest.approx(0.002, rel=0.02)
    answer(meter, 161.0, busy_s=0.001)
    assert meter.signal(161.0 + 30 * HALF_LIFE_S).service_s == pytest.approx(0.002, rel=0.02)


def test_one_slow_frame_says_less_of_frames_that_come_alone_than_a_fast_one(meter):
    meter.answered(service_s=UNLOADED_S, queue_s=0.0, busy_s=UNLOADED_S + 0.1, alone=True, now=100.0)
    assert meter.signal(100.0 + 30 * HALF_LIFE_S).service_s == pytest.approx(UNLOADED_S + ALONE_SLOWER * 0.1)


def test_asking_for_the_signal_changes_nothing_of_the_service_time(meter):
    answer(meter, 100.0, service_s=0.410)
    for _ in range(50):
        meter.signal(101.0)
    fresh = LoadMeter("mid", unloaded_s=UNLOADED_S, now=100.0)
    answer(fresh, 100.0, service_s=0.410)
    assert meter.signal(101.0).service_s == fresh.signal(101.0).service_s


def test_an_idle_replica_has_no_queue_whatever_the_last_frames_saw(meter):
    for step in range(100):
        answer(meter, 100.0 + step / 10, queue_s=0.5)
    assert meter.signal(110.0).queue_s == 0.0
    meter.in_flight = 1
    assert meter.signal(110.0).queue_s == pytest.approx(0.5, rel=1e-3)


def test_the_published_queue_follows_the_real_one_by_half_in_each_half_life(meter):
    meter.in_flight = 1
    meter.note_queue(0.8, 100.0 + QUEUE_HALF_LIFE_S)
    assert meter.signal(100.5).queue_s == pytest.approx(0.4)
    meter.note_queue(0.0, 100.0 + 3 * QUEUE_HALF_LIFE_S)
    assert meter.signal(101.0).queue_s == pytest.approx(0.1)


def test_however_often_the_queue_is_looked_at_it_is_published_alike(meter):
    other = LoadMeter("mid", unloaded_s=UNLOADED_S, now=100.0)
    meter.in_flight = other.in_flight = 1
    for step in range(1, 101):
        meter.note_queue(0.3, 100.0 + step / 100)
    for _ in range(7):
        other.note_queue(0.3, 101.0)
    assert meter.signal(101.0).queue_s == pytest.approx(other.signal(101.0).queue_s)


def test_the_signal_says_how_busy_the_machine_is_and_what_triton_says(meter):
    signal = meter.signal(100.0)
    assert (signal.node_utilisation, signal.triton_queue_s, signal.triton_compute_s) == (0.0, 0.0, 0.0)
    meter.node = NodeLoad(0.9, 0.002, 0.03)
    signal = meter.signal(100.0)
    assert (signal.node_utilisation, signal.triton_queue_s, signal.triton_compute_s) == (0.9, 0.002, 0.03)


def test_utilisation_is_the_share_of_the_last_window_that_the_replica_was_busy(meter):
    for step in range(4):
        answer(meter, 100.0 + step * 0.4, busy_s=0.25)
    assert meter.signal(100.0 + WINDOW_S).utilisation == pytest.approx(1.0 / WINDOW_S)


def test_utilisation_falls_to_nothing_when_no_more_frames_come(meter):
    answer(meter, 100.0, busy_s=1.5)
    assert meter.signal(100.0 + WINDOW_S).utilisation == 0.75
    assert meter.signal(100.0 + 2 * WINDOW_S).utilisation == 0.0


def test_utilisation_is_not_told_before_a_window_is_over_and_never_above_one(meter):
    answer(meter, 100.0, busy_s=99.0)
    assert meter.signal(100.0 + WINDOW_S / 2).utilisation == 0.0
    assert meter.signal(100.0 + WINDOW_S).utilisation == 1.0


def test_the_signal_says_the_state_and_the_frames_in_flight(meter):
    meter.state, meter.in_flight = "draining", 7
    signal = meter.signal(100.0)
    assert (signal.state, signal.in_flight) == ("draining", 7)
