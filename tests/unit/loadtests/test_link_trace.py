import re
from pathlib import Path

import pytest

from loadtests.link_script import LinkScript
from loadtests.link_trace import LinkTrace
from wire.errors import SettingError

# Three rows of half a second; the times do not begin at 0.
TRACE = "time_s,mbps\n7.0,4\n7.5,0\n8.0,1.5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "link.csv"
    path.write_text(text, encoding="utf-8")
    return path


def plain(script: LinkScript) -> list[tuple[float, float | None]]:
    return [(round(step.at_s, 9), step.state.rate_mbps) for step in script.steps]


def test_a_trace_is_read_and_timed_from_its_first_row(tmp_path: Path) -> None:
    trace = LinkTrace.read(written(tmp_path, TRACE))

    assert plain(trace.script(delay_s=0.02)) == [(0.0, 4.0), (0.5, 0.0), (1.0, 1.5)]


def test_every_state_of_a_trace_has_the_delay_and_the_jitter_that_were_asked_for(tmp_path: Path) -> None:
    script = LinkTrace.read(written(tmp_path, TRACE)).script(delay_s=0.02, jitter_s=0.003)

    assert {(step.state.delay_s, step.state.jitter_s) for step in script.steps} == {(0.02, 0.003)}


def test_the_last_row_holds_as_long_as_the_median_row() -> None:
    assert LinkTrace((0.0, 1.0, 1.5, 2.0), (1.0, 2.0, 3.0, 4.0)).length_s == 2.5


@pytest.mark.parametrize(
    ("begin_s", "seconds", "steps"),
    [
        (0.0, 1.0, [(0.0, 4.0), (0.5, 0.0)]),
        (0.25, 0.5, [(0.0, 4.0), (0.25, 0.0)]),
        (0.5, 0.5, [(0.0, 0.0)]),
        (0.5, 0.6, [(0.0, 0.0), (0.5, 1.5)]),
        (1.25, 1.0, [(0.0, 1.5), (0.25, 4.0), (0.75, 0.0)]),
        (4.0, 0.6, [(0.0, 1.5), (0.5, 4.0)]),
    ],
)
def test_a_window_of_a_trace_begins_at_0_and_goes_round_where_the_trace_ends(
    tmp_path: Path, begin_s: float, seconds: float, steps: list[tuple[float, float]]
) -> None:
    trace = LinkTrace.read(written(tmp_path, TRACE))

    assert plain(trace.script(delay_s=0.0, begin_s=begin_s, seconds=seconds)) == steps


def test_a_trace_that_is_shorter_than_asked_is_played_again_and_again(tmp_path: Path) -> None:
    script = LinkTrace.read(written(tmp_path, TRACE)).script(delay_s=0.0, seconds=4.6)

    assert plain(script) == [(round(0.5 * number, 9), (4.0, 0.0, 1.5)[number % 3]) for number in range(10)]


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    trace = LinkTrace.read(written(tmp_path, "cell,mbps,time_s\na,2,0\nb,3,1\n"))

    assert plain(trace.script(delay_s=0.0)) == [(0.0, 2.0), (1.0, 3.0)]


def test_windows_that_follow_each_other_begin_with_whole_rows() -> None:
    times_s = tuple(round(0.2 * number, 6) for number in range(30))
    trace = LinkTrace(times_s, times_s)

    for number in range(7):
        window = trace.script(delay_s=0.0, begin_s=number * 1.2, seconds=1.2)
        assert [step.at_s for step in window.steps] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        assert window.steps[0].state.rate_mbps == pytest.approx(number % 5 * 1.2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no column 'time_s' in line 1"),
        ("time_s,kbps\n0,1\n1,1\n", "has no column 'mbps' in line 1"),
        ("time_s,mbps\n", "fewer than two rows"),
        ("time_s,mbps\n0,1\n", "fewer than two rows"),
        ("time_s,mbps\n0,1\n1,1\n1,2\n", "line 4 of the trace {path}: 1 s does not follow 1 s"),
        ("time_s,mbps\n5,1\n4,1\n", "line 3 of the trace {path}: 4 s does not follow 5 s"),
        ("time_s,mbps\n0,1\n1,-2\n", "line 3 of the trace {path}: a rate of -2 Mbit/s"),
        ("time_s,mbps\n0,nan\n1,1\n", "line 2 of the trace {path}: 'nan' is no number for mbps"),
        ("time_s,mbps\n0,1\ninf,1\n", "line 3 of the trace {path}: 'inf' is no number for time_s"),
        ("time_s,mbps\n0,1\n1\n", "line 3 of the trace {path}: None is no number for mbps"),
        ("time_s,mbps\n0,fast\n1,1\n", "line 2 of the trace {path}: 'fast' is no number for mbps"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_line(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(SettingError, match=re.escape(says.format(path=path))) as caught:
        LinkTrace.read(path)

    assert str(path) in caught.value.message
    assert caught.value.mend


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe")

    for name in ("gone.csv", "picture.csv"):
        with pytest.raises(SettingError, match=name):
            LinkTrace.read(tmp_path / name)


@pytest.mark.parametrize(("begin_s", "seconds"), [(-1.0, 1.0), (0.0, 0.0), (0.0, -1.0), (float("nan"), 1.0)])
def test_a_window_that_cannot_be_is_refused(begin_s: float, seconds: float) -> None:
    with pytest.raises(SettingError, match="no window"):
        LinkTrace((0.0, 1.0), (1.0, 2.0)).script(delay_s=0.0, begin_s=begin_s, seconds=seconds)
