from dataclasses import replace

import numpy as np
import pytest
from virtual_tables import COARSE_ROW, DELAY_S, FINE_ROW, LATE_ROW, WHOLE_ROW, device, tables

from device_agent.policy import Policy
from loadtests.link_script import LinkScript, LinkState, Step
from loadtests.oracle import KnownLink, best_fixed, rows_within, run_oracle
from loadtests.virtual_run import run_policy


def random_script(seed):
    """A link that changes every quarter of a second or so, and stands still now and then."""
    rng = np.random.default_rng(seed)
    times_s = np.concatenate([[0.0], np.cumsum(rng.uniform(0.05, 0.5, 200))])
    rates_mbps = np.exp(rng.normal(0.0, 1.5, len(times_s))) * (rng.random(len(times_s)) > 0.1)
    rates_mbps[[0, -1]] = 1.0
    return LinkScript(tuple(Step(at, LinkState(mbps, DELAY_S)) for at, mbps in zip(times_s, rates_mbps, strict=True)))


def fixed_latencies_s(table, script, told, row):
    """Of an agent that keeps one option and never gives up on it."""
    known, free_s, latencies_s = KnownLink(table, script), 0.0, []
    for frame in range(told.frames):
        due_s = told.begins_s + frame / told.fps
        free_s = known.answered_s(row, frame, max(due_s, free_s))
        latencies_s.append(free_s - due_s)
    return latencies_s


def test_an_option_on_a_known_link_takes_device_link_and_cluster_and_all_its_looks():
    known = KnownLink(tables(), LinkScript.parse("0:1", delay_s=DELAY_S))
    assert known.answered_s(FINE_ROW, 0, 2.0) == pytest.approx(2.0 + 0.020 + 0.015 + 0.010 + 0.007)
    assert known.answered_s(COARSE_ROW, 1, 0.0) == pytest.approx(0.020 + 0.026 + 0.002 + 0.028)
    assert known.answered_s(COARSE_ROW, 2, 0.0) == pytest.approx(0.020 + 0.026)
    assert known.answered_s(WHOLE_ROW, 0, 1.0) == pytest.approx(1.1)
    slower = KnownLink(tables(own_s=0.003), LinkScript.parse("0:1", delay_s=DELAY_S))
    for row in (FINE_ROW, WHOLE_ROW):
        assert slower.answered_s(row, 0, 2.0) == pytest.approx(known.answered_s(row, 0, 2.0) + 0.003)


@pytest.mark.parametrize("seed", range(8))
def test_no_option_is_ever_sooner_than_the_oracle(seed):
    table, script, told = tables(own_s=0.002), random_script(seed), device(frames=100, fps=8.0)
    best_s = [frame.latency_s for frame in run_oracle(table, script, told)]
    for row in rows_within(table, told.rules):
        assert (np.array(best_s) <= np.array(fixed_latencies_s(table, script, told, row)) + 1e-9).all()


@pytest.mark.parametrize("seed", range(4))
def test_no_planner_is_sooner_than_the_oracle(seed):
    table, script = tables(own_s=0.002), random_script(seed)
    # Of options with one look: a second look that there was no time for would be an advantage.
    table = replace(table, looks=np.minimum(table.looks, 1))
    told = device(frames=100, fps=8.0, deadline_s=0.15)
    best_s = np.array([frame.latency_s for frame in run_oracle(table, script, told)])
    for policy in ("auto", "deepcod", "neurosurgeon", "device-only"):
        rules = replace(told.rules, policy=Policy(policy))
        frames = run_policy(table, script, replace(told, rules=rules))
        assert (best_s <= np.array([frame.latency_s for frame in frames]) + 1e-9).all()


def test_the_oracle_keeps_the_bound_on_the_drop_and_knows_when_the_link_stalls():
    slow = LinkScript.parse("0:0.1,10:20,20:0,21:20", delay_s=DELAY_S)

    def rows(most_drop):
        frames = run_oracle(tables(whole_s=0.150), slow, device(frames=50, fps=2.0, most_drop=most_drop))
        return [next(frame.row for frame in frames if frame.due_s == due_s) for due_s in (5.0, 15.0, 20.0, 22.0)]

    assert rows(0.05) == [WHOLE_ROW, FINE_ROW, WHOLE_ROW, FINE_ROW]
    assert rows(0.10) == [LATE_ROW, FINE_ROW, WHOLE_ROW, FINE_ROW]


def test_the_best_fixed_option_is_the_one_that_answers_soonest_when_it_is_kept():
    told, table = device(frames=20, fps=5.0, most_drop=0.1), tables(whole_s=0.150)
    for mbps, expected in ((50.0, FINE_ROW), (0.1, LATE_ROW), (0.02, WHOLE_ROW)):
        script = LinkScript.parse(f"0:{mbps}", delay_s=DELAY_S)
        row, frames = best_fixed(table, script, told)
        assert row == expected
        assert {frame.row for frame in frames} == {row}
    kept = replace(told, rules=replace(told.rules, policy=Policy("fixed", "output", "whole")))
    assert frames == run_policy(table, script, kept)
