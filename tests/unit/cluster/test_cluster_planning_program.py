import numpy as np
import pytest
from scipy.optimize import LinearConstraint, OptimizeResult

from cluster.planning import program
from cluster.planning.jalad import jalad
from cluster.planning.jointdnn import Limits, bounded_schedule
from cluster.planning.tables import RADIOS, CutOption, CutTable, GroupTable
from wire.errors import IsthmusError, SettingError
from wire.ids import PointName

ONE = ((1.0,),)
GROUPS = GroupTable(device_s=ONE, cluster_s=ONE, device_energy_j=ONE, upload_bytes=(1, 1), download_bytes=(1, 1))
CUTS = CutTable((CutOption(point=PointName("a"), rate="c1", device_s=1, cluster_s=1, bytes=1, device_energy_j=1),))


def exactly(count, variables):
    return [LinearConstraint(np.ones((1, variables)), count, count)]


@pytest.fixture
def _out_of_time(monkeypatch):
    def stopped(*_, **__):
        return OptimizeResult(status=1, x=None, message="Time limit reached. (HiGHS Status 13)")

    monkeypatch.setattr(program, "milp", stopped)


def test_the_least_weights_are_chosen_and_what_is_not_usable_never_is():
    weights = np.array([3.0, 1.0, 2.0])
    assert program.solve(weights, exactly(2, 3), np.ones(3)).tolist() == [False, True, True]
    assert program.solve(weights, exactly(2, 3), np.array([1.0, 1.0, 0.0])).tolist() == [True, True, False]


def test_a_program_that_cannot_be_kept_has_no_solution():
    assert program.solve(np.ones(2), exactly(3, 2), np.ones(2)) is None


@pytest.mark.usefixtures("_out_of_time")
def test_any_other_end_of_the_solver_is_an_error_that_has_its_message():
    with pytest.raises(IsthmusError, match=r"HiGHS has not solved .* Time limit reached") as raised:
        program.solve(np.ones(2), exactly(1, 2), np.ones(2))
    assert raised.value.mend


@pytest.mark.usefixtures("_out_of_time")
def test_a_solver_that_gives_up_is_not_taken_for_a_plan_that_cannot_be_kept():
    for plan in (
        lambda: jalad(CUTS, RADIOS["wifi"], most_drop=1.0),
        lambda: bounded_schedule(GROUPS, RADIOS["wifi"], objective="latency", limits=Limits(latency_s=9)),
    ):
        with pytest.raises(IsthmusError, match="HiGHS") as raised:
            plan()
        assert not isinstance(raised.value, SettingError)
