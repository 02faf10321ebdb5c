from dataclasses import replace

import numpy as np
import pytest
from virtual_tables import device, tables

from loadtests.crowd_figures import SWING_WANTED, crowd_figures, jain, oscillates, smoothed, swing
from loadtests.crowd_simulation import Crowd, LoadStep, simulate_crowd
from loadtests.link_script import LinkScript
from serve_apps.load_meter import LoadMeter
from wire.errors import SettingError

TABLES = tables(whole_s=0.070)
CROWD = Crowd(
    agents=40,
    servers=2,
    steps=(LoadStep(20, 0.0), LoadStep(40, 0.6), LoadStep(20, 0.0)),
    script=LinkScript.parse("0:20", delay_s=0.005),
    device=device(fps=5.0, frames=0, deadline_s=0.2),
    arrivals="even",
)


@pytest.fixture(scope="module")
def samples():
    return simulate_crowd(TABLES, CROWD, LoadMeter)


def test_a_crowd_of_forty_settles_at_every_step_of_the_load(samples):
    before, under_load, after = crowd_figures(CROWD, samples)
    for figures in (before, under_load, after):
        assert figures.settle_s is not None
        assert not figures.oscillates
        assert figures.fairness > 0.95
    assert before.swing < SWING_WANTED
    assert under_load.utilisation > before.utilisation
    assert after.offered == pytest.approx(before.offered, rel=0.1)


def test_what_is_sampled_adds_up(samples):
    assert len(samples.times_s) == len(samples.offered) == len(samples.latency_s) == 80
    assert samples.offered.shape == samples.background.shape == (80, len(samples.points))
    # Forty agents with five frames a second, of 10 ms and one look each, or one and a half.
    assert 1.96 < samples.offered[5:20].sum(axis=1).mean() < 3.04
    assert samples.background[20:60].sum(axis=1).mean() == pytest.approx(1.2, rel=0.1)
    assert samples.background[:20].sum() == samples.background[61:].sum() == 0
    assert np.nanmin(samples.latency_s) > 0.03
    assert samples.utilisation.max() <= 1.1


def test_the_same_seed_gives_the_same_crowd_and_another_one_does_not(samples):
    def offered(seed):
        short = replace(CROWD, steps=(LoadStep(10, 0.6),), seed=seed)
        return simulate_crowd(TABLES, short, LoadMeter).offered

    assert (offered(1) == offered(1)).all()
    assert (offered(1) != offered(2)).any()


def test_a_step_asks_as_much_of_slow_servers_as_of_fast_ones(samples):
    slow = replace(TABLES, cluster_s=TABLES.cluster_s * 3)
    short = replace(CROWD, agents=1, servers=2, steps=(LoadStep(20, 0.5),))
    asked = simulate_crowd(slow, short, LoadMeter).background.sum(axis=1).mean()
    assert asked == pytest.approx(0.5 * 2, rel=0.15)


def test_a_crowd_needs_somebody_and_time():
    with pytest.raises(SettingError, match="0 agents"):
        replace(CROWD, agents=0)
    with pytest.raises(SettingError, match="steps"):
        replace(CROWD, steps=(LoadStep(1, 0.0),))


def test_fairness_is_one_where_all_wait_alike_and_the_share_of_those_who_do_not():
    assert jain(np.array([0.1, 0.1, 0.1, 0.1])) == pytest.approx(1.0)
    assert jain(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(0.25)


def test_a_load_that_goes_up_and_down_oscillates_and_one_that_wanders_or_stands_does_not():
    seconds = np.arange(60)
    rng = np.random.default_rng(0)

    def figures(total):
        offered = smoothed(np.column_stack([total / 2, total / 2, total]))
        return swing(offered, total.mean()), oscillates(offered, total.mean())

    assert figures(1 + 0.4 * np.sin(2 * np.pi * seconds / 12)) == (pytest.approx(0.3, abs=0.1), True)
    assert figures(1 + 0.02 * rng.standard_normal(60))[1] is False
    rising, oscillating = figures(1 + seconds / 60)
    assert rising > SWING_WANTED
    assert not oscillating


def test_a_step_of_a_few_seconds_has_figures_too():
    short = replace(CROWD, steps=(LoadStep(4, 0.0), LoadStep(2, 0.6)))
    for figures in crowd_figures(short, simulate_crowd(TABLES, short, LoadMeter)):
        assert not figures.oscillates
        assert figures.latency_s > 0


def test_load_that_moves_between_two_points_swings_though_its_sum_does_not():
    wave = 0.4 * np.sin(2 * np.pi * np.arange(60) / 15)
    offered = np.column_stack([0.5 + wave, 0.5 - wave, np.ones(60)])
    assert swing(offered, 1.0) == pytest.approx(0.4, abs=0.05)
    assert oscillates(offered, 1.0)
