import pytest
from adapt_fakes import DEADLINE_S, row, run

from loadtests.adapt_picture import Scene, draw_overview, draw_traces
from loadtests.adapt_report import POLICIES, report
from loadtests.frame_row import PolicyRun
from loadtests.link_script import LinkScript
from wire.errors import SettingError

PNG = b"\x89PNG\r\n\x1a\n"
SCENE = Scene(points=("input", "mid", "output"), deadline_s=DEADLINE_S)
SCRIPT = LinkScript.parse("0:4,0.2:0,0.4:down,0.6:2", delay_s=0.01)


def runs():
    ours = PolicyRun(tuple(row(n, 30 + 50 * n, name) for n, name in enumerate(["input/q75", "mid/r1"])), 3)
    return {policy: run(40, 50, 900) for policy in (*POLICIES, "oracle")} | {"ours": ours}


def test_six_traces_come_on_a_page(tmp_path):
    made = {f"trace-{number}": runs() for number in range(7)}
    paths = draw_traces(made, dict.fromkeys(made, SCRIPT), SCENE, tmp_path / "new", "pages")
    assert [path.name for path in paths] == ["pages-1.png", "pages-2.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    assert paths[0].stat().st_size > paths[1].stat().st_size


def test_traces_without_an_oracle_or_without_frames_are_drawn_too(tmp_path):
    alone = {policy: each for policy, each in runs().items() if policy != "oracle"}
    silent = runs() | {"ours": PolicyRun((), 3)}
    assert draw_traces({"a": alone, "b": silent}, dict.fromkeys("ab", SCRIPT), SCENE, tmp_path, "p")


def test_the_overview_is_small_enough_for_a_document(tmp_path):
    path = draw_overview(report({"trace": runs()}), SCENE, tmp_path / "overview.png")
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size < 150_000


def test_a_picture_that_cannot_be_written_is_a_setting_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be written"):
        draw_overview(report({"trace": runs()}), SCENE, tmp_path / "file" / "overview.png")
