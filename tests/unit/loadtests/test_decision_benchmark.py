import numpy as np
from virtual_tables import tables

from loadtests.decision_benchmark import OPTIONS, many, time_decisions


def test_a_bundle_s_options_become_as_many_as_are_wanted_and_one_of_them_sends_nothing() -> None:
    options = many(tables(whole_s=0.07).options)
    assert len(options) == OPTIONS
    assert len({option.id for option in options}) == OPTIONS
    assert [option.coder for option in options].count("none") == 1
    assert {option.point for option in options} == {option.point for option in tables(whole_s=0.07).options}


def test_a_decision_and_its_parts_are_timed() -> None:
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    figures = time_decisions(tables(whole_s=0.07).options, pixels, rounds=3)
    assert figures["options"] == OPTIONS
    assert 0 < figures["plan_us"] < 1e6
    assert figures["decide_us"] > 0
    assert figures["activity_us"] > 0
