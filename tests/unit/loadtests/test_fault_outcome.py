import json

from fault_fakes import STRUCK_S, fault_run, outcome
from PIL import Image

from loadtests.fault_picture import draw_faults


def test_nothing_lost_and_full_service_after_every_fault_is_what_is_wanted():
    assert outcome(fault_run()).met
    assert not outcome(fault_run(skip=(70,))).met
    assert not outcome(fault_run(gone_s=100.0)).met


def test_a_frame_that_only_its_agent_knows_to_be_lost_is_lost():
    assert outcome(fault_run()).lost == 0
    assert outcome(fault_run(), unanswered=2).lost == 2
    assert outcome(fault_run(skip=(70,)), unanswered=1).lost == 2


def test_the_record_is_json_and_says_what_struck_when():
    strikes = ((STRUCK_S, "triton"), (STRUCK_S + 3, "replica"))
    plain = json.loads(json.dumps(outcome(fault_run(strikes=strikes), skipped={"disk": "no root"}).as_plain()))
    (fault,) = plain["faults"]
    assert fault["strikes"] == [{"s": 0.0, "what": "triton"}, {"s": 3.0, "what": "replica"}]
    assert fault["sent"] == fault["by_cluster"] + fault["by_device"] + fault["lost"]
    assert (plain["lost"], plain["met"], plain["skipped"]) == (0, True, {"disk": "no root"})


def test_the_picture_has_a_panel_for_every_fault(tmp_path):
    few = draw_faults([fault_run()], tmp_path / "few.png")
    many = draw_faults([fault_run(str(number)) for number in range(7)], tmp_path / "many.png")
    with Image.open(few) as one, Image.open(many) as seven:
        assert seven.width > 2.5 * one.width
        assert seven.height > 2 * one.height
