from math import inf, nan

import pytest

from device_agent.rules import LATENCY, Constraints, Goal, Rules, parse_goal
from wire.errors import SettingError


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("latency", LATENCY),
        ("energy", Goal(energy=1.0)),
        ("bytes", Goal(bytes=1.0)),
        ("latency=1,energy=0.5,bytes=0.01", Goal(latency=1.0, energy=0.5, bytes=0.01)),
        (" bytes = 2 , latency ", Goal(latency=1.0, bytes=2.0)),
        ("latency=0,energy=3", Goal(energy=3.0)),
    ],
)
def test_an_objective_is_a_name_or_a_weighted_sum(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize(
    "text",
    ["", "speed", "latency,", "latency=1,latency=2", "latency=much", "latency=", "energy=-1", "bytes=inf", "energy=nan",
     "latency=0", "latency=1=2"],
)  # fmt: skip
def test_what_is_no_objective_is_refused_with_the_form_that_it_has(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_goal(text)
    assert "latency=1,energy=0.5,bytes=0.01" in caught.value.mend


@pytest.mark.parametrize("drop", [-0.01, 1.01, nan])
def test_a_drop_is_a_share(drop: float) -> None:
    with pytest.raises(SettingError, match="points") as caught:
        Constraints(most_drop=drop)
    assert caught.value.mend == "give 0 to 100"


@pytest.mark.parametrize("name", ["deadline_s", "most_energy_j", "most_cluster_s", "joules_per_hour", "bytes_per_hour"])
@pytest.mark.parametrize("limit", [0.0, -1.0, nan])
def test_a_limit_is_above_nothing(name: str, limit: float) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        Constraints(**{name: limit})
    assert caught.value.mend == "give a number above 0"


def test_nothing_is_bounded_by_default_and_the_latency_is_made_least_in_a_calm_way() -> None:
    rules = Rules()
    assert rules.constraints == Constraints(most_drop=1.0, deadline_s=inf, bytes_per_hour=inf)
    assert (rules.goal, rules.calm, str(rules.policy)) == (LATENCY, True, "auto")


@pytest.mark.parametrize(
    ("deadline_s", "live_every_s", "waits_s"), [(0.3, 0.0, 0.3), (0.3, 0.1, 0.2), (0.15, 0.1, 0.15), (inf, 0.1, 0.2)]
)
def test_a_frame_of_a_live_source_is_answered_before_the_next_one_is_overtaken(
    deadline_s: float, live_every_s: float, waits_s: float
) -> None:
    rules = Rules(constraints=Constraints(deadline_s=deadline_s), live_every_s=live_every_s)
    assert rules.waits_s == pytest.approx(waits_s)
