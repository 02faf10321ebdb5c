import json
from dataclasses import replace

import numpy as np
import pytest
from adapt_fakes import made_tables, option

from loadtests.frame_tables import FrameTables
from loadtests.table_sweep import OUTLIER, mean_s, tables_of, taking_part
from wire.errors import SettingError
from wire.records import to_plain


def test_tables_read_back_are_those_that_were_saved(tmp_path):
    tables = made_tables()
    tables.save(tmp_path / "new" / "tables.json")
    again = FrameTables.load(tmp_path / "new" / "tables.json")
    assert again.as_plain() == tables.as_plain()
    assert again.options == tables.options
    assert again.looks.dtype == np.intp


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"device_s": [1.0, 2.0]},
        {"looks": [1, 1, 0]},
        {"cluster_s": [0.1, -0.1, 0.0]},
        {"cluster_s": [0.1, float("nan"), 0.0]},
        {"options": [{"id": 1}]},
        {"overhead_s": "soon"},
        {"own_s": None},
    ],
)
def test_tables_that_make_no_sense_are_refused(change):
    with pytest.raises(SettingError, match="tables"):
        FrameTables.from_plain(made_tables().as_plain() | change)


def test_tables_without_the_device_s_own_answer_are_refused():
    plain = made_tables().as_plain()
    plain["options"][2] = to_plain(option(2, "late"))
    with pytest.raises(SettingError, match="alone"):
        FrameTables.from_plain(plain)


def test_a_file_that_is_no_json_is_refused_with_its_name(tmp_path):
    (tmp_path / "tables.json").write_text("{")
    with pytest.raises(SettingError, match=r"tables\.json"):
        FrameTables.load(tmp_path / "tables.json")


def test_json_of_tables_is_plain():
    assert json.loads(json.dumps(made_tables().as_plain()))["reply_bytes"] == 300.0


def named(options):
    return [f"{each.point}/{each.rate}" for each in options]


def test_an_option_takes_part_unless_another_of_its_point_beats_it_in_all():
    options = (
        option(0, "input", "q75", coder="jpeg", size_bytes=9000, drop=0.09),
        option(1, "a", "fine", size_bytes=2000, drop=0.01),
        option(2, "a", "worse", size_bytes=2100, drop=0.02),
        option(3, "a", "refined", size_bytes=1500, drop=0.005, looks=1.4),
        option(4, "a", "coarse", size_bytes=500, drop=0.2),
        option(5, "b", "other", size_bytes=2100, drop=0.02),
        option(6, "output", "whole", coder="none", size_bytes=0),
    )
    assert named(taking_part(options, 0.05)) == ["input/q75", "a/fine", "a/refined", "b/other", "output/whole"]


def test_two_options_that_are_alike_both_take_part():
    options = (option(1, "a", "one"), option(2, "a", "two"), option(3, "output", "whole", coder="none"))
    assert len(taking_part(options, 0.05)) == 3


def event(number, *, device=0.0, code=0.0, cluster=0.0, link=0.0, look_bytes=(), moved_bytes=0, wait=0.0):
    parts = {"wait": wait, "device": device, "code": code, "link": link, "cluster": cluster, "local": 0.0}
    return {
        "frame": number,
        "looks": len(look_bytes),
        "look_bytes": list(look_bytes),
        "bytes": sum(look_bytes),
        "moved_bytes": moved_bytes,
        "latency_ms": sum(parts.values()) + 0.5 * bool(look_bytes),
        "parts_ms": parts,
    }


def swept():
    """Two frames, numbers 5 and 6, of an option that looks once and twice, and of the device alone."""
    cut = [
        event(5, device=40, code=4, cluster=10, link=3, look_bytes=[500], moved_bytes=800, wait=70),
        event(6, device=40, code=10, cluster=24, link=7, look_bytes=[500, 900], moved_bytes=2000),
    ]
    return tables_of(
        [option(1), option(2, "output", "whole", coder="none")],
        [cut, [event(5, device=100, wait=1), event(6, device=102, wait=1)]],
        activity=np.array([3.0, 4.0]),
        device="made",
        delay_s=0.001,
    )


def test_the_sweep_tells_a_first_look_from_a_further_one():
    tables = swept()
    assert tables.device_s.tolist() == pytest.approx([0.044, 0.101])
    assert tables.refine_s.tolist() == pytest.approx([0.006, 0.0])


def test_the_sweep_puts_a_frame_where_the_clip_will_bring_it_again():
    tables = swept()
    assert tables.looks.tolist() == [[2, 1], [0, 0]]
    assert tables.sent_bytes[0].tolist() == [[500, 900, 0, 0], [500, 0, 0, 0]]
    assert tables.activity.tolist() == [3.0, 4.0]


def test_the_sweep_counts_by_the_exchange_what_an_exchange_takes():
    tables = swept()
    assert tables.cluster_s.tolist() == pytest.approx([0.011, 0.0])
    assert tables.reply_bytes == pytest.approx(300)


def test_the_sweep_takes_apart_what_the_agent_and_what_an_exchange_take_so_that_a_frame_adds_up():
    tables = swept()
    assert tables.own_s == pytest.approx(0.001)
    # The first frame waited for 70 ms, the second did not, and the median is as large as the mean.
    written_s = 0.001 - 0.035
    assert tables.overhead_s == pytest.approx((0.0035 - written_s + (0.0075 - written_s) / 2) / 2 - 0.002)


def test_the_mean_of_seconds_adds_up_and_a_stall_counts_for_little():
    assert mean_s([0.010, 0.010, 0.016]) == pytest.approx(0.012)
    assert mean_s([0.010, 0.010, 9.0]) == pytest.approx((0.010 + 0.010 + OUTLIER * 0.010) / 3)


def test_the_tables_of_the_sweep_can_be_kept(tmp_path):
    swept().save(tmp_path / "tables.json")
    assert FrameTables.load(tmp_path / "tables.json").frames == 2


def test_an_option_whose_frames_all_look_twice_has_its_second_look_in_the_first():
    events = [event(n, device=40, code=10, cluster=20, look_bytes=[500, 900], moved_bytes=2000) for n in range(2)]
    alone = [event(n, device=100) for n in range(2)]
    tables = tables_of(
        [option(1), option(2, "output", "whole", coder="none")],
        [events, alone],
        activity=np.array([3.0, 4.0]),
        device="made",
        delay_s=0.0,
    )
    assert (tables.device_s[0], tables.refine_s[0]) == (pytest.approx(0.05), 0.0)


def test_options_of_tables_keep_what_was_measured_of_them():
    changed = replace(made_tables().options[0], rate="q50")
    assert (
        FrameTables.from_plain(
            made_tables().as_plain() | {"options": [to_plain(each) for each in (changed, *made_tables().options[1:])]}
        )
        .options[0]
        .rate
        == "q50"
    )
