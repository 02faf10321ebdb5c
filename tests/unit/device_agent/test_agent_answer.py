import json

import pytest

from device_agent.answer import FrameAnswer, Parts, Tally, as_line
from device_agent.planner import Prediction
from device_agent.screen import TableReport
from wire.ids import OptionId, PointName
from wire.manifest import Macs, Measured, Option


def option(number: int, point: str) -> Option:
    measured = Measured(
        dataset="none",
        pictures=0,
        top1=0.5,
        top1_drop=0.0,
        top5=0.9,
        top5_drop=0.0,
        agreement=1.0,
        bytes_mean=1.0,
        bytes_p95=1.0,
    )
    return Option(
        id=OptionId(number),
        point=PointName(point),
        codec="c",
        rate="r",
        coder="none",
        shape=(1, 1, 1),
        device_graph="g",
        cluster_graph=None,
        tables=None,
        gains=None,
        quality=None,
        macs=Macs(1, 1, 1, 1),
        measured=measured,
    )


def answer(
    *, fallback: str | None = None, latency_s: float = 0.025, slowdown: float = 1.0, looks: int = 1
) -> FrameAnswer:
    return FrameAnswer(
        frame=4,
        unix_s=1000.025,
        due_unix_s=1000.0,
        option=option(3, "output") if fallback else option(1, "blocks.2"),
        planned=option(1, "blocks.2"),
        where="device" if fallback else "cluster",
        fallback=fallback,
        top=(("cat", 0.75), ("dog", 0.125)),
        latency_s=latency_s,
        parts=Parts(wait=0.001, device=0.01, link=0.005),
        predicted=Prediction(0.01, 0.004, 0.002),
        sent_bytes=512,
        looks=looks,
        bandwidth_bytes_s=125_000.0,
        slowdown=slowdown,
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
    assert plain["looks"] == 1


def test_a_fallback_names_what_answered_and_what_was_planned() -> None:
    plain = answer(fallback="late", slowdown=8.0).as_plain()
    assert (plain["point"], plain["option"], plain["planned"]) == ("output", 3, 1)
    assert (plain["where"], plain["fallback"], plain["emulated_slowdown"]) == ("device", "late", 8.0)


def test_the_summary_counts_options_fallbacks_and_percentiles() -> None:
    tally = Tally()
    for latency_s in (0.010, 0.020, 0.030):
        tally.frames += 1
        tally.note(answer(latency_s=latency_s))
    tally.frames += 1
    tally.note(answer(fallback="link_down", latency_s=0.020))
    plain = tally.as_plain(late_dropped=2, rss_mb=90.04)
    assert (plain["frames"], plain["answered"], plain["unanswered"], plain["late_dropped"]) == (4, 4, 0, 2)
    assert plain["by_option"] == {"blocks.2/r": 3, "output/r": 1}
    assert plain["fallbacks"] == {"link_down": 1}
    assert plain["looked_again"] == 0
    assert plain["latency_ms"]["p50"] == pytest.approx(20.0)
    assert (plain["agent_overhead_ms"], plain["rss_mb"]) == (0.5, 90.0)


def test_the_summary_counts_the_frames_that_were_looked_at_again() -> None:
    tally = Tally()
    for looks in (1, 2, 0, 3):
        tally.frames += 1
        tally.note(answer(looks=looks))
    assert tally.as_plain(late_dropped=0, rss_mb=None)["looked_again"] == 2


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
    plain = Tally().as_plain(late_dropped=0, rss_mb=None)
    assert plain["latency_ms"] == {"p50": None, "p95": None}
    assert plain["agent_overhead_ms"] is None
    json.loads(as_line(plain))
