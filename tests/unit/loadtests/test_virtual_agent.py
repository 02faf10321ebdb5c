from math import inf

import numpy as np
import pytest
from virtual_tables import COARSE_ROW, DELAY_S, FINE_ROW, RATE_MBPS, WHOLE_ROW, device, tables

from device_agent.energy import EnergyModel
from loadtests.link_script import LinkScript
from loadtests.virtual_run import run_policy
from wire.errors import SettingError

STEADY = LinkScript.parse(f"0:{RATE_MBPS}", delay_s=DELAY_S)
EXCHANGE_S = 0.010 + DELAY_S + 0.010 + 0.002 + DELAY_S
"""Of 1250 bytes: up, cluster, and 250 bytes down."""


def latencies_s(frames):
    return [frame.latency_s for frame in frames]


def test_a_frame_takes_device_link_and_cluster_to_the_microsecond():
    (frame,) = run_policy(tables(), STEADY, device("fixed:mid/fine"))
    assert frame.latency_s == pytest.approx(0.020 + EXCHANGE_S, abs=1e-9)
    assert (frame.where, frame.row, frame.looks, frame.in_time) == ("cluster", FINE_ROW, 1, True)
    assert (frame.sent_bytes, frame.moved_bytes, frame.fallback) == (1250, 1500, None)


def test_what_an_exchange_takes_beside_all_this_counts():
    (frame,) = run_policy(tables(overhead_s=0.003), STEADY, device("fixed:mid/fine"))
    assert frame.latency_s == pytest.approx(0.020 + EXCHANGE_S + 0.003, abs=1e-9)


def test_what_the_agent_takes_for_every_frame_counts_wherever_it_is_answered():
    for policy, takes_s in (("fixed:mid/fine", 0.020 + EXCHANGE_S), ("device-only", 0.100)):
        (frame,) = run_policy(tables(own_s=0.003), STEADY, device(policy))
        assert frame.latency_s == pytest.approx(takes_s + 0.003, abs=1e-9)


def test_a_further_look_is_coded_sent_and_answered_after_the_first():
    first, second = run_policy(tables(), STEADY, device("fixed:mid/coarse+fine", frames=2))
    look_s = 0.004 + DELAY_S + 0.010 + 0.002 + DELAY_S
    assert first.latency_s == pytest.approx(0.020 + look_s, abs=1e-9)
    assert second.latency_s == pytest.approx(0.020 + look_s + 0.002 + look_s + 0.002, abs=1e-9)
    assert [(frame.looks, frame.sent_bytes, frame.moved_bytes) for frame in (first, second)] == [
        (1, 500, 750),
        (2, 1250, 1750),
    ]


def test_a_further_look_is_not_begun_without_the_time_for_it():
    # A look takes 26 ms: after the first one, 25 ms are left, or 27.
    quick = tables(whole_s=0.005)
    _, second = run_policy(quick, STEADY, device("fixed:mid/coarse+fine", frames=2, deadline_s=0.071))
    assert (second.looks, second.latency_s) == (1, pytest.approx(0.046))
    _, second = run_policy(quick, STEADY, device("fixed:mid/coarse+fine", frames=2, deadline_s=0.073))
    assert second.looks == 2


def test_a_device_that_answers_alone_takes_what_the_whole_network_does():
    (frame,) = run_policy(tables(), STEADY, device("device-only"))
    assert (frame.latency_s, frame.where, frame.fallback) == (pytest.approx(0.100), "device", None)
    assert (frame.row, frame.looks, frame.moved_bytes) == (WHOLE_ROW, 0, 0)


def test_a_frame_that_is_due_before_the_last_one_is_answered_waits_for_it():
    frames = run_policy(tables(), STEADY, device("device-only", frames=3, fps=20.0))
    assert latencies_s(frames) == pytest.approx([0.100, 0.150, 0.200])


def test_a_stream_is_opened_in_three_round_trips_before_its_first_frame():
    begun = device("fixed:mid/fine", begins_s=0.0)
    (frame,) = run_policy(tables(), STEADY, begun)
    # The opening begins with the run, and the head takes 20 of its milliseconds; two pings' bytes go before the frame.
    opening_s = 3 * 2 * DELAY_S + (60 + 60 + 400 + 200 + 200 + 400) / 125_000
    assert frame.latency_s == pytest.approx(opening_s + EXCHANGE_S, abs=2e-4)


def test_the_device_begins_early_enough_for_the_deadline_and_whoever_is_first_counts():
    stalls = LinkScript.parse(f"0:{RATE_MBPS},0.5:0,0.7:{RATE_MBPS}", delay_s=DELAY_S)
    # A deadline of 300 ms less 1.1 × 100 ms and 5 ms: the device begins at 185 ms. The link is back at 200 ms.
    (frame,) = run_policy(tables(), stalls, device("fixed:mid/fine", deadline_s=0.3))
    assert (frame.where, frame.latency_s) == ("cluster", pytest.approx(0.200 + EXCHANGE_S))
    away = LinkScript.parse(f"0:{RATE_MBPS},0.5:0,0.8:{RATE_MBPS}", delay_s=DELAY_S)
    (frame,) = run_policy(tables(), away, device("fixed:mid/fine", deadline_s=0.3))
    assert (frame.where, frame.fallback, frame.latency_s) == ("device", "late", pytest.approx(0.185 + 0.100))
    assert frame.in_time
    assert frame.sent_bytes == 1250


def test_a_run_that_nobody_waits_for_any_more_is_ended_and_does_not_hold_up_the_next_frame():
    stalls = LinkScript.parse(f"0:{RATE_MBPS},0.5:0,0.7:{RATE_MBPS}", delay_s=DELAY_S)
    first, second = run_policy(tables(), stalls, device("fixed:mid/fine", deadline_s=0.3, frames=2, fps=5.0))
    assert first.latency_s == pytest.approx(0.232)
    # It was due at 200 ms and begun at 232 ms; the device's own answer would have taken until 285 ms.
    assert second.latency_s == pytest.approx(0.032 + 0.020 + EXCHANGE_S)


def test_the_device_begins_as_soon_as_the_link_is_known_to_be_down():
    away = LinkScript.parse(f"0:{RATE_MBPS},0.9:0,9:{RATE_MBPS}", delay_s=DELAY_S)
    # A ping goes unanswered from 1.03 s until 2.03 s, when the link counts as down; a patient frame is under way then.
    (frame,) = run_policy(tables(), away, device("fixed:mid/fine", deadline_s=3.0))
    assert frame.where == "cluster"
    (frame,) = run_policy(tables(), away, device("fixed:mid/fine", deadline_s=3.0, begins_s=0.95))
    assert (frame.where, frame.fallback) == ("device", "late")
    assert frame.latency_s == pytest.approx(2.03 + 0.100 - 0.95, abs=0.02)


@pytest.mark.parametrize("outage", ["down", "0"])
@pytest.mark.parametrize("link", ["kalman", "harmonic", "last"])
@pytest.mark.parametrize("policy", ["auto", "deepcod", "jalad", "neurosurgeon", "fixed:mid/fine", "device-only"])
def test_no_frame_is_unanswered_when_the_link_is_away_and_the_cluster_is_asked_again_after_it(policy, link, outage):
    script = LinkScript.parse(f"0:4,5:{outage},9:4,20:0.02,24:4", delay_s=DELAY_S)
    told = device(policy, frames=150, fps=5.0, deadline_s=0.25, link=link)
    frames = run_policy(tables(), script, told)
    assert [frame.frame for frame in frames] == list(range(150))
    if told.rules.policy.chooses:
        assert max(latencies_s(frames)) < 0.4
    away = [frame for frame in frames if 5.5 < frame.due_s < 8.9]
    assert {frame.where for frame in away} == {"device"}
    if policy != "device-only":
        assert {frame.fallback for frame in away} == {"link_down"}
        assert {frame.where for frame in frames if 10.5 < frame.due_s < 19.9} == {"cluster"}


def test_without_a_deadline_a_link_that_stays_away_is_refused():
    ends = LinkScript.parse("0:1,5:0", delay_s=DELAY_S)
    with pytest.raises(SettingError, match="without a deadline"):
        run_policy(tables(), ends, device(deadline_s=inf))
    (frame,) = run_policy(tables(), STEADY, device(deadline_s=inf))
    assert frame.where == "cluster"


def test_a_frame_of_which_the_energy_is_known_costs_processor_and_radio():
    energy = EnergyModel(extra_w=2.0, alpha_w_per_mbps=0.5, beta_w=0.0)
    alone, sent = (
        run_policy(tables(), STEADY, device(policy, energy=energy))[0] for policy in ("device-only", "fixed:mid/fine")
    )
    assert alone.energy_j == pytest.approx(2.0 * 0.100)
    assert sent.energy_j == pytest.approx(2.0 * 0.020 + 0.5 * 8e-6 * 1500)


def test_a_throttled_device_takes_longer_and_the_planner_moves_the_cut_for_it():
    fast = LinkScript.parse("0:20", delay_s=DELAY_S)
    hot = device(frames=60, fps=5.0, most_drop=1.0, throttling=((0.0, 1.0), (6.0, 4.0)))
    table = tables(whole_s=0.040)
    frames = run_policy(table, fast, hot)
    assert {frame.where for frame in frames if frame.due_s < 6.0} == {"device"}
    assert {frame.where for frame in frames if frame.due_s > 8.0} == {"cluster"}


def test_the_same_seeds_give_the_same_answers_and_others_do_not():
    script = LinkScript.parse("0:2,3:0.4,6:2", delay_s=DELAY_S, jitter_s=0.002)

    def latencies(seed, name):
        told = device(frames=60, fps=5.0, noise=0.1, device_id=name)
        return latencies_s(run_policy(tables(), script, told, seed=seed))

    assert latencies(1, "a") == latencies(1, "a")
    assert latencies(1, "a") != latencies(2, "a")
    assert latencies(1, "a") != latencies(1, "b")


def test_predictions_come_near_what_frames_take_on_a_steady_link():
    frames = run_policy(tables(), STEADY, device("fixed:mid/coarse+fine", frames=200, fps=5.0))
    late = frames[100:]
    mean_s = np.mean(latencies_s(late))
    assert np.mean([frame.predicted_s for frame in late]) == pytest.approx(mean_s, rel=0.1)
    assert {frame.row for frame in frames} == {COARSE_ROW}
