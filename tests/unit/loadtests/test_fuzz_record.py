import os
import signal
from collections import Counter

import pytest

from loadtests.fuzz_black_box import ROOM_BYTES, BlackBox
from loadtests.fuzz_record import Record, findings_in, keep_finding


def test_the_black_box_holds_the_input_under_way_for_whoever_looks(tmp_path):
    with BlackBox(tmp_path / "box") as writer, BlackBox(tmp_path / "box") as reader:
        assert reader.look().begun == 0
        since_s = writer.begin(3, b"under way")
        assert reader.look() == writer.look()
        assert (reader.look().begun, reader.look().since_s, reader.look().data) == (3, since_s, b"under way")
        writer.end(3)
        assert (reader.look().begun, reader.look().since_s, reader.look().data) == (3, 0.0, b"")


def test_the_black_box_outlives_the_process_that_wrote_it(tmp_path):
    child = os.fork()
    if child == 0:
        BlackBox(tmp_path / "box").begin(1, b"x" * ROOM_BYTES)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with BlackBox(tmp_path / "box") as box:
        assert box.look().data == b"x" * ROOM_BYTES


def test_growth_is_from_a_warm_process_to_its_end():
    rising_at_first = Record(rss_bytes=[50] * 20 + [100] * 60 + [103] * 20)
    assert rising_at_first.growth == pytest.approx(0.03)
    assert Record(rss_bytes=[1, 2]).growth is None


def test_a_record_comes_back_from_its_file_and_a_process_without_one_left_nothing(tmp_path):
    assert Record.load(tmp_path) is None
    record = Record(inputs=3, outcomes=Counter({"accepted": 3}), rss_bytes=[1, 2, 3], guided=True)
    record.save(tmp_path)
    assert Record.load(tmp_path) == record


def test_a_finding_is_kept_with_its_input_and_the_same_input_once(tmp_path):
    for _ in range(2):
        kept = keep_finding(tmp_path, "messages", "hang", "says", b"input")
    assert findings_in(tmp_path) == [kept]
    assert (tmp_path / kept.input_file).read_bytes() == b"input"
