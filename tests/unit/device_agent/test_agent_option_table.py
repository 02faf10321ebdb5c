import pytest
from agent_fakes import option

from device_agent.option_table import OptionTable
from device_agent.policy import parse_policy

OPTIONS = (
    option(11, "mid/fine", drop=0.01),
    option(12, "output/whole"),
    option(13, "input/raw", drop=-0.002),
    option(14, "mid/coarse/2", drop=0.08),
)
TABLE = OptionTable.of(OPTIONS)


def test_a_table_has_a_row_for_each_option_and_each_point_that_is_served_once() -> None:
    assert TABLE.ids == (11, 12, 13, 14)
    assert TABLE.names == ("mid/fine", "output/whole", "input/raw", "mid/coarse/2")
    assert TABLE.points == ("mid", "input")
    assert TABLE.point_of.tolist() == [0, -1, 1, 0]
    assert TABLE.drop.tolist() == [0.01, 0.0, -0.002, 0.08]


def test_the_option_that_sends_nothing_is_the_local_one() -> None:
    assert TABLE.sends.tolist() == [True, False, True, True]
    assert TABLE.local == 1


@pytest.mark.parametrize(
    ("policy", "rows"),
    [
        ("auto", [0, 1, 2, 3]),
        ("deepcod", [0, 1, 2, 3]),
        ("jalad", [0, 1, 2, 3]),
        ("neurosurgeon", [0, 1, 2, 3]),
        ("device-only", [1]),
        ("cluster-only", [2]),
        ("fixed:mid", [0, 3]),
        ("fixed:mid/fine", [0]),
        ("fixed:mid/coarse/2", [3]),
        ("fixed:output", [1]),
        ("fixed:mid/whole", []),
    ],
)
def test_a_policy_leaves_the_options_that_it_names(policy: str, rows: list[int]) -> None:
    allowed = TABLE.allowed_by(parse_policy(policy))
    assert allowed.dtype == bool
    assert allowed.nonzero()[0].tolist() == rows


def test_a_bundle_of_the_device_alone_has_a_table_without_points() -> None:
    table = OptionTable.of(OPTIONS[1:2])
    assert table.points == ()
    assert table.allowed_by(parse_policy("cluster-only")).tolist() == [False]
