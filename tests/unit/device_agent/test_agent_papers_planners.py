from dataclasses import replace

import numpy as np
import pytest

from device_agent.energy import EnergyModel
from device_agent.link_estimate import make_link
from device_agent.link_view import LinkView
from device_agent.option_table import OptionTable
from device_agent.papers_planners import PAPERS, Offline, plan_as
from device_agent.planner import plan
from device_agent.policy import PolicyKind, parse_policy
from device_agent.rules import LATENCY
from device_agent.snapshot import Estimates, Limits, Snapshot
from wire.ids import OptionId, PointName

INPUT, FINE, COARSE, LATE, OUTPUT = range(5)
TABLE = OptionTable(
    ids=tuple(OptionId(10 + row) for row in range(5)),
    names=("input/raw", "mid/fine", "mid/coarse", "late/small", "output/whole"),
    points=(PointName("input"), PointName("mid"), PointName("late")),
    point_of=np.array([0, 1, 1, 2, -1]),
    sends=np.array([True, True, True, True, False]),
    drop=np.array([0.0, 0.01, 0.08, 0.02, 0.0]),
    local=OUTPUT,
)
PROFILE_S = np.array([0.001, 0.010, 0.010, 0.030, 0.060])
SERVICE_S = np.array([0.010, 0.005, 0.005, 0.002, 0.0])
ESTIMATES = Estimates(
    device_s=PROFILE_S,
    moved_bytes=np.array([20_000.0, 3_000.0, 1_000.0, 500.0, 0.0]),
    bytes_sd=np.zeros(len(PROFILE_S)),
    looks=np.array([1.0, 1.0, 1.0, 1.0, 0.0]),
    cluster_s=SERVICE_S,
    served=np.ones(5, bool),
    closed=np.zeros(5, bool),
    asleep=np.zeros(5, bool),
    link=LinkView(base_s=0.0, s_per_byte=1e-6),
    energy=EnergyModel(),
)

OFFLINE = Offline(device_s=PROFILE_S, moved_bytes=ESTIMATES.moved_bytes)


def snapshot(*, drop: float = 1.0, **changes) -> Snapshot:
    return Snapshot(
        table=TABLE, estimates=replace(ESTIMATES, **changes), allowed=np.ones(5, bool), goal=LATENCY,
        limits=Limits(drop=drop), due_s=0.0, now_s=0.0,
    )  # fmt: skip


def chosen(kind: PolicyKind, **changes) -> int:
    return TABLE.ids.index(plan_as(kind, snapshot(**changes), OFFLINE, SERVICE_S).option_id)


def ours(**changes) -> int:
    return TABLE.ids.index(plan(snapshot(**changes)).option_id)


@pytest.mark.parametrize(("s_per_byte", "row"), [(1e-8, INPUT), (1e-6, COARSE), (4e-5, LATE), (1e-3, OUTPUT)])
def test_deepcod_takes_the_least_of_device_bytes_over_bandwidth_and_cluster(s_per_byte: float, row: int) -> None:
    link = LinkView(0.0, s_per_byte)
    assert chosen("deepcod", link=link) == row
    assert ours(link=link) == row


@pytest.mark.parametrize("kind", ["deepcod", "jalad"])
def test_deepcod_and_jalad_know_no_base_delay_no_looks_and_no_queue(kind: PolicyKind) -> None:
    for change in (
        {"link": LinkView(base_s=10.0, s_per_byte=1e-6)},
        {"looks": np.array([1.0, 1.0, 3.0, 1.0, 0.0]), "link": LinkView(base_s=0.02, s_per_byte=1e-6)},
        {"cluster_s": np.array([0.010, 9.0, 9.0, 9.0, 0.0])},
    ):
        assert chosen(kind, **change) == COARSE
        assert ours(**change) != COARSE


def test_deepcod_knows_times_and_sizes_as_measured_lately_and_the_other_two_those_of_an_offline_table() -> None:
    loaded = {"device_s": PROFILE_S * 100}
    large = {"moved_bytes": np.array([20_000.0, 90_000.0, 90_000.0, 90_000.0, 0.0])}
    for change in (loaded, large):
        assert chosen("deepcod", **change) == ours(**change) == INPUT
        assert chosen("jalad", **change) == COARSE
        assert chosen("neurosurgeon", **change) == FINE


@pytest.mark.parametrize("kind", PAPERS)
def test_what_is_predicted_of_a_papers_choice_is_still_what_we_know(kind: PolicyKind) -> None:
    link = LinkView(base_s=0.5, s_per_byte=1e-6)
    prediction = plan_as(kind, snapshot(link=link, device_s=PROFILE_S * 2), OFFLINE, SERVICE_S).prediction
    assert prediction.link_s > 0.5
    assert prediction.device_s == 0.020


def test_jalad_takes_the_least_within_the_drop_that_it_may_lose() -> None:
    assert chosen("jalad") == COARSE
    assert chosen("jalad", drop=0.05) == FINE
    assert chosen("jalad", drop=0.005) == INPUT
    assert chosen("jalad", drop=0.005, link=LinkView(0.0, 1e-5)) == OUTPUT
    for drop in (1.0, 0.05, 0.005):
        assert chosen("jalad", drop=drop) == chosen("deepcod", drop=drop)


def test_neurosurgeon_knows_a_cut_and_no_rate_so_it_takes_the_most_accurate_rate_of_each_point() -> None:
    assert chosen("neurosurgeon") == FINE
    # Here the coarse rate of the middle is the best, and there is no such cut.
    link = LinkView(0.0, 9e-6)
    assert (chosen("neurosurgeon", link=link), chosen("deepcod", link=link)) == (LATE, COARSE)


def test_neurosurgeon_takes_the_link_to_be_as_the_last_transfer_was() -> None:
    link = make_link(parse_policy("neurosurgeon").link_estimate)
    choices = []
    for link_s in (0.003, 0.0005, 3.0):
        link.note_transfer(3_000, link_s, now_s=0.0)
        choices.append(chosen("neurosurgeon", link=link.view(0.0)))
    assert choices == [FINE, INPUT, OUTPUT]


@pytest.mark.parametrize("kind", PAPERS)
def test_while_the_link_is_down_the_device_answers(kind: PolicyKind) -> None:
    decision = plan_as(kind, snapshot(link=None), OFFLINE, SERVICE_S)
    assert decision.option_id == TABLE.ids[OUTPUT]
    assert decision.gave_way == "link_down"


@pytest.mark.parametrize("kind", PAPERS)
def test_a_point_that_is_not_served_is_left_out_and_the_device_answers_where_none_is(kind: PolicyKind) -> None:
    served = np.array([True, False, False, False, True])
    assert chosen(kind, served=served) == INPUT
    assert chosen(kind, served=np.zeros(5, bool)) == OUTPUT
