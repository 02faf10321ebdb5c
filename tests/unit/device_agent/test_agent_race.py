from dataclasses import replace

import numpy as np
import pytest
from planner_bench import ESTIMATES, INPUT, LINK, OUTPUT, TABLE, decided, snapshot

from device_agent.energy import EnergyModel
from device_agent.prediction import Costs
from device_agent.race import LEAST_SPARED_S, spared_s
from device_agent.rules import Goal
from device_agent.snapshot import Limits

UNCERTAIN = replace(LINK, s_per_byte=2.5e-6, s_per_byte_sd=1.5e-6)
"""Sending the picture takes 57 ms, give or take 30, where the device alone takes 60."""


def spared(row: int = INPUT, **changes) -> float:
    asked = snapshot(link=changes.pop("link", UNCERTAIN), races=True, **changes)
    return spared_s(asked, Costs.of(asked.estimates), row)


def test_what_is_spared_is_what_the_sooner_of_the_two_answers_is_sooner_by() -> None:
    costs = Costs.of(replace(ESTIMATES, link=UNCERTAIN))
    drawn_s = np.random.default_rng(1).normal(costs.total_s[INPUT], costs.link_sd_s[INPUT], 100_000)
    own_s = ESTIMATES.device_s[INPUT] + ESTIMATES.device_s[OUTPUT]
    exact_s = float(drawn_s.mean() - np.minimum(drawn_s, own_s).mean())
    assert exact_s > LEAST_SPARED_S
    assert spared() == pytest.approx(exact_s, rel=0.1)


def test_a_cluster_that_is_certain_to_be_sooner_is_waited_for() -> None:
    assert spared(link=replace(UNCERTAIN, s_per_byte_sd=0.0)) == 0
    assert spared(link=replace(LINK, s_per_byte_sd=2e-7)) == 0


def test_a_cluster_that_will_be_late_for_certain_is_outrun_by_as_much() -> None:
    slow = replace(LINK, s_per_byte=1e-5)
    total_s = Costs.of(replace(ESTIMATES, link=slow)).total_s[INPUT]
    own_s = ESTIMATES.device_s[INPUT] + ESTIMATES.device_s[OUTPUT]
    assert spared(link=slow) == pytest.approx(total_s - own_s)


def test_nothing_races_with_the_device_itself() -> None:
    assert spared(OUTPUT) == 0


def test_a_device_whose_own_time_nobody_knows_does_not_race() -> None:
    unknown = ESTIMATES.device_s.copy()
    unknown[OUTPUT] = 0.0
    assert spared(device_s=unknown) == 0


def test_a_race_has_to_be_worth_its_energy_by_the_weights_of_the_objective() -> None:
    hungry = EnergyModel(extra_w=3.0)
    assert spared(energy=hungry) > 0
    assert spared(energy=hungry, goal=Goal(latency=1.0, energy=0.01)) > 0
    assert spared(energy=hungry, goal=Goal(latency=1.0, energy=1.0)) == 0
    assert spared(energy=hungry, goal=Goal(energy=1.0)) == 0


def test_a_race_keeps_the_limit_on_energy() -> None:
    hungry = EnergyModel(extra_w=3.0)
    beside_j = 3.0 * (0.002 + 0.060)
    assert spared(energy=hungry, limits=Limits(energy_j=beside_j)) > 0
    assert spared(energy=hungry, limits=Limits(energy_j=0.9 * beside_j)) == 0


def test_the_plan_says_that_it_races_and_predicts_what_that_spares() -> None:
    racing = decided(link=UNCERTAIN, races=True, allowed=np.array([True, False, False, True]))
    assert TABLE.ids.index(racing.option_id) == INPUT
    assert racing.prediction.races
    assert racing.prediction.spared_s == pytest.approx(spared())
    parts = racing.prediction.device_s + racing.prediction.link_s + racing.prediction.cluster_s
    assert racing.prediction.total_s == pytest.approx(parts - spared())
    assert "the device's own answer beside it spares" in racing.reasons[-1]


def test_a_plan_without_races_waits() -> None:
    waiting = decided(link=UNCERTAIN, races=False, allowed=np.array([True, False, False, True]))
    assert not waiting.prediction.races
