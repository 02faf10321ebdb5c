import json

import pytest
from agent_fakes import option

from device_agent.answer import FrameAnswer, Parts, Tally, as_line
from device_agent.emulation import Emulated
from device_agent.prediction import Prediction
from device_agent.screen import TableReport

QUIET = {"late_dropped": 0, "skipped": {}, "switches": 0, "rss_mb": None}


def answer(
    *,
    fallback: str | None = None,
    latency_s: float = 0.025,
    emulated: Emulated | None = None,
    looks: int = 1,
    broken: tuple[str, ...] = (),
) -> FrameAnswer:
    return FrameAnswer(
        frame=4,
        unix_s=1000.025,
        due_unix_s=1000.0,
        option=option(3, "output/whole") if fallback else option(1, "blocks.2/r"),
        planned=option(1, "blocks.2/r"),
        where="device" if fallback else "cluster",
        fallback=fallback,
        top=(("cat", 0.75), ("dog", 0.125)),
        latency_s=latency_s,
        parts=Parts(wait=0.001, device=0.01, link=0.005),
        predicted=Prediction(0.01, 0.004, 0.002, energy_j=0.25),
        look_bytes=(512, *(0,) * (looks - 1)),
        moved_bytes=900,
        energy_j=0.125,
        in_time=latency_s <= 0.025,
        broken=broken,
        bandwidth_bytes_s=125_000.0,
        emulated=emulated,
        overhead_s=0.0005,
        reasons=("policy auto",),
    )


def test_an_answer_is_one_json_line_in_milliseconds_and_megabits() -> None:
    line = as_line(answer().as_plain())
    assert line.count("\n") == 1
    plain = json.loads(line)
    assert (plain["event"], plain["frame"], plain["where"], plain["fallback"]) == ("frame", 4, "cluster", None)
    assert (plain["point"], plain["rate"], plain["option"], plain["planned"]) == ("blocks.2", "r", 1, 1)
    assert (plain["label"], plain["score"], plain["top"]) == ("cat", 0.75, [["cat", 0.75], ["dog", 0.125]])
    assert plain["latency_ms"] == 25.0
    assert plain["parts_ms"] == {
        "wait": 1.0,
        "device": 10.0,
        "code": 0.0,
        "link": 5.0,
        "cluster": 0.0,
        "local": 0.0,
    }
    assert plain["predicted_ms"] == {"device": 10.0, "link": 4.0, "cluster": 2.0, "total": 16.0}
    assert (plain["bytes"], plain["bandwidth_mbps"], plain["emulated_slowdown"]) == (512, 1.0, None)
    assert (plain["looks"], plain["look_bytes"], plain["moved_bytes"]) == (1, [512], 900)
    assert (plain["energy_mj"], plain["predicted_energy_mj"]) == (125.0, 250.0)
    assert (plain["in_time"], plain["broken"], plain["emulated_device"]) == (True, [], None)


def test_a_fallback_names_what_answered_and_what_was_planned() -> None:
    plain = answer(fallback="late").as_plain()
    assert (plain["point"], plain["option"], plain["planned"]) == ("output", 3, 1)
    assert (plain["where"], plain["fallback"]) == ("device", "late")


def test_every_line_says_what_is_emulated() -> None:
    emulated = Emulated("raspberry-pi-4b", 8.12345)
    for plain in (answer(emulated=emulated).as_plain(), Tally(emulated=emulated).as_plain(**QUIET)):
        assert (plain["emulated_device"], plain["emulated_slowdown"]) == ("raspberry-pi-4b", 8.123)


def test_the_summary_counts_options_fallbacks_and_percentiles() -> None:
    tally = Tally()
    for latency_s in (0.010, 0.020, 0.030):
        tally.frames += 1
        tally.note(answer(latency_s=latency_s))
    tally.frames += 1
    tally.note(answer(fallback="link_down", latency_s=0.020))
    plain = tally.as_plain(late_dropped=2, skipped={"too_old": 3}, switches=5, rss_mb=90.04)
    assert (plain["frames"], plain["answered"], plain["unanswered"], plain["late_dropped"]) == (4, 4, 0, 2)
    assert (plain["skipped"], plain["switches"]) == ({"too_old": 3}, 5)
    assert plain["by_option"] == {"blocks.2/r": 3, "output/whole": 1}
    assert plain["fallbacks"] == {"link_down": 1}
    assert plain["looked_again"] == 0
    assert plain["latency_ms"] == {"p50": 20.0, "p95": 28.5, "p99": 29.7}
    assert (plain["agent_overhead_ms"], plain["rss_mb"]) == (0.5, 90.0)


def test_the_summary_counts_missed_deadlines_broken_constraints_bytes_and_joules() -> None:
    tally = Tally()
    for latency_s, broken in ((0.020, ()), (0.030, ("deadline",)), (0.040, ("deadline", "bytes"))):
        tally.note(answer(latency_s=latency_s, broken=broken))
    plain = tally.as_plain(**QUIET)
    assert (plain["deadline_missed"], plain["broken"]) == (2, {"deadline": 2, "bytes": 1})
    assert (plain["moved_bytes"], plain["energy_j"]) == (2700, 0.375)


def test_the_summary_counts_the_frames_that_were_looked_at_again() -> None:
    tally = Tally()
    for looks in (1, 2, 0, 3):
        tally.frames += 1
        tally.note(answer(looks=looks))
    assert tally.as_plain(**QUIET)["looked_again"] == 2


@pytest.mark.parametrize(("looks", "said"), [([1, 1], 0), ([1, 3], 1)])
def test_the_table_speaks_of_further_looks_once_there_are_some(
    looks: list[int], said: int, capsys: pytest.CaptureFixture[str]
) -> None:
    table = TableReport()
    for count in looks:
        table.frame(answer(looks=count))
    table.summary({"event": "summary"})
    assert " ".join(capsys.readouterr().out.split()).count("1 looked at again") == said


def test_a_run_without_frames_has_a_summary_too() -> None:
    plain = Tally().as_plain(**QUIET)
    assert plain["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert plain["agent_overhead_ms"] is None
    json.loads(as_line(plain))
