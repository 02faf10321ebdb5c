from dataclasses import replace

import pytest

from device_agent.planner import (
    Candidate,
    Decision,
    LinkView,
    Policy,
    Snapshot,
    check_policy,
    parse_policy,
    plan,
    predict,
)
from wire.errors import SettingError, UnknownPoint
from wire.ids import OptionId, PointName

LINK = LinkView(bandwidth_bytes_s=1_000_000.0, base_s=0.002)


def candidate(number: int, point: str, *, device_s: float, sent_bytes: float = 0.0, rate: str = "r1") -> Candidate:
    return Candidate(
        option_id=OptionId(number),
        point=PointName(point),
        rate=rate,
        sends=point != "output",
        device_s=device_s,
        bytes_mean=sent_bytes,
        cluster_s=0.003 if point != "output" else 0.0,
    )


INPUT = candidate(0, "input", device_s=0.002, sent_bytes=20_000)
EARLY = candidate(1, "blocks.2", device_s=0.010, sent_bytes=3_000)
EARLY_SMALL = candidate(2, "blocks.2", device_s=0.010, sent_bytes=1_000, rate="r2")
OUTPUT = candidate(3, "output", device_s=0.060)
ALL = (INPUT, EARLY, EARLY_SMALL, OUTPUT)


def chosen(policy: str, link: LinkView | None = LINK, candidates: tuple[Candidate, ...] = ALL) -> int:
    return plan(Snapshot(candidates, link, parse_policy(policy))).option_id


def test_the_prediction_is_device_plus_link_plus_cluster() -> None:
    prediction = predict(EARLY, LINK)
    assert prediction.link_s == pytest.approx(0.002 + 0.003)
    assert prediction.total_s == pytest.approx(0.010 + 0.005 + 0.003)


def test_every_further_look_costs_a_round_trip_and_the_time_on_the_cluster_once_more() -> None:
    prediction = predict(replace(EARLY, looks=2.5), LINK)
    assert prediction.device_s == 0.010
    assert prediction.link_s == pytest.approx(2.5 * 0.002 + 0.003)
    assert prediction.cluster_s == pytest.approx(2.5 * 0.003)


def test_auto_leaves_an_option_of_many_looks_when_the_round_trip_is_long() -> None:
    again = replace(EARLY_SMALL, looks=1.4)
    assert chosen("auto", LinkView(200_000.0, 0.002), (EARLY, again, OUTPUT)) == again.option_id
    assert chosen("auto", LinkView(200_000.0, 0.030), (EARLY, again, OUTPUT)) == EARLY.option_id


@pytest.mark.parametrize(
    ("bandwidth_bytes_s", "wanted"),
    [(20e6, INPUT), (400e3, EARLY_SMALL), (10e3, OUTPUT)],
)
def test_auto_takes_the_least_sum_and_moves_with_the_bandwidth(bandwidth_bytes_s: float, wanted: Candidate) -> None:
    assert chosen("auto", LinkView(bandwidth_bytes_s, 0.002)) == wanted.option_id


def test_auto_leaves_out_what_the_cluster_does_not_serve() -> None:
    unserved = tuple(replace(c, served=False) for c in (INPUT, EARLY, EARLY_SMALL))
    decision = plan(Snapshot((*unserved, OUTPUT), LINK, Policy("auto")))
    assert decision.option_id == OUTPUT.option_id
    assert not decision.link_down
    assert "3 not served now" in decision.reasons


def test_a_loaded_point_is_avoided() -> None:
    loaded = tuple(replace(c, cluster_s=0.5) for c in (EARLY, EARLY_SMALL))
    assert chosen("auto", LINK, (INPUT, *loaded, OUTPUT)) == INPUT.option_id


@pytest.mark.parametrize("policy", ["auto", "cluster-only", "fixed:blocks.2", "fixed:input/r1"])
def test_without_a_link_the_device_answers_whatever_the_policy(policy: str) -> None:
    decision = plan(Snapshot(ALL, None, parse_policy(policy)))
    assert decision.option_id == OUTPUT.option_id
    assert decision.link_down
    assert decision.reasons == ("the link is down",)


@pytest.mark.parametrize("policy", ["device-only", "fixed:output"])
def test_a_policy_that_never_sends_does_not_miss_the_link(policy: str) -> None:
    decision = plan(Snapshot(ALL, None, parse_policy(policy)))
    assert decision.option_id == OUTPUT.option_id
    assert not decision.link_down


def test_fixed_takes_the_best_rate_of_its_point_or_the_one_that_it_names() -> None:
    assert chosen("fixed:blocks.2") == EARLY_SMALL.option_id
    assert chosen("fixed:blocks.2/r1") == EARLY.option_id


def test_cluster_only_is_the_input_point_and_device_only_the_output() -> None:
    assert chosen("cluster-only") == INPUT.option_id
    assert chosen("device-only") == OUTPUT.option_id


def test_the_reasons_name_the_second_best() -> None:
    reasons = plan(Snapshot(ALL, LINK, Policy("auto"))).reasons
    assert reasons == ("policy auto", "least of 4; next blocks.2/r1 18.0 ms")


def test_equal_predictions_go_to_the_lower_option_id_so_that_nothing_flaps() -> None:
    twin = replace(EARLY, option_id=OptionId(9))
    assert chosen("fixed:blocks.2", LINK, (twin, EARLY, OUTPUT)) == EARLY.option_id


@pytest.mark.parametrize("text", ["auto", "device-only", "cluster-only", "fixed:blocks.2", "fixed:blocks.2/r1"])
def test_a_policy_reads_as_it_is_written(text: str) -> None:
    assert str(parse_policy(text)) == text


@pytest.mark.parametrize("text", ["", "fixed", "fixed:", "fixed:a/", "fastest"])
def test_an_unknown_policy_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="there is no policy"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("text", "mend"),
    [("fixed:x", "choose one of blocks.2, output"), ("fixed:blocks.2/x", "choose one of r1"), ("cluster-only", "")],
)
def test_a_policy_that_the_bundle_cannot_follow_lists_what_there_is(text: str, mend: str) -> None:
    choices = [(PointName("blocks.2"), "r1"), (PointName("output"), "r1")]
    with pytest.raises(UnknownPoint) as caught:
        check_policy(parse_policy(text), choices)
    assert mend in caught.value.mend


SLOW = LinkView(50_000.0, 0.002)
LOSSY = replace(EARLY_SMALL, drop=0.10)


def bounded(most_drop: float, candidates: tuple[Candidate, ...], policy: str = "auto") -> Decision:
    return plan(Snapshot(candidates, SLOW, replace(parse_policy(policy), most_drop=most_drop)))


@pytest.mark.parametrize(("most_drop", "wanted"), [(1.0, LOSSY), (0.10, LOSSY), (0.099, OUTPUT), (0.0, OUTPUT)])
def test_auto_takes_nothing_that_loses_more_than_it_may(most_drop: float, wanted: Candidate) -> None:
    assert bounded(most_drop, (LOSSY, OUTPUT)).option_id == wanted.option_id


def test_what_loses_too_much_is_counted_apart_from_what_is_not_served() -> None:
    reasons = bounded(0.05, (replace(INPUT, served=False), EARLY, LOSSY, OUTPUT)).reasons
    assert reasons[-2:] == ("1 not served now", "1 lose more than 5.0%")


def test_a_point_of_which_every_rate_loses_too_much_gives_its_best_and_says_so() -> None:
    worst = replace(LOSSY, option_id=OptionId(9), drop=0.2)
    decision = bounded(0.05, (worst, LOSSY, OUTPUT), "fixed:blocks.2")
    assert decision.option_id == LOSSY.option_id
    assert "loses 10.0%: none of these is within 5.0%" in decision.reasons


def test_an_option_that_is_named_is_taken_whatever_it_loses() -> None:
    assert bounded(0.0, (LOSSY, OUTPUT), "fixed:blocks.2/r2").option_id == LOSSY.option_id
