import json
from dataclasses import replace

import numpy as np
import pytest

from cluster.onnx_graph import Graph
from cluster.profiling.cluster_options import OnnxEngine, measure_cluster
from cluster.profiling.device_options import measure_device
from cluster.profiling.option_profile import OptionProfile
from cluster.profiling.table import option_note, option_table
from wire.bundle import Bundle
from wire.errors import BundleError, SettingError


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graph_runs():
    """The device graphs that were run, in order."""
    return []


@pytest.fixture(scope="module")
def device(bundle, picture, graph_runs):
    opened = Bundle.open(bundle.directory, "device")

    def run_graph(name):
        graph_runs.append(name)
        return Graph(opened.path(name)).run(picture[None])[0]

    return measure_device(opened, run_graph, picture, threads=1, repeats=6, listener=lambda *_: None)


@pytest.fixture(scope="module")
def cluster(bundle, picture):
    return measure_cluster(
        bundle.directory, picture, OnnxEngine(1), batches=[4, 1, 4], repeats=5, listener=lambda *_: None
    )


def test_on_the_device_heads_and_coders_are_timed_apart(device, bundle):
    rows = {row.point: row for row in device.rows}
    assert list(rows) == [option.point for option in bundle.manifest.options] == ["input", "stem", "output"]
    assert rows["input"].batches == ()
    assert rows["input"].seconds() == rows["input"].coder_s > 0
    assert rows["output"].coder_s == 0
    assert rows["output"].seconds() == rows["output"].batches[0].seconds > 0
    (head,) = rows["stem"].batches
    assert head.batch == 1
    assert rows["stem"].seconds() == head.seconds + rows["stem"].coder_s
    assert (device.side, device.bundle, device.threads, device.emulated) == ("device", bundle.digest, 1, None)


def test_each_device_graph_is_run_to_warm_up_and_then_as_often_as_asked_in_turn(device, graph_runs, bundle):
    graphs = [option.device_graph for option in bundle.manifest.options if option.device_graph]
    visits = [4, 2]
    assert graph_runs == graphs + [graph for runs in visits for graph in graphs for _ in range(1 + runs)]


def test_options_of_one_head_share_its_times(bundle, picture):
    opened = Bundle.open(bundle.directory, "device")
    stem = opened.manifest.options[1]
    both = replace(opened.manifest, options=(stem, replace(stem, id=9, rate="again")))
    shared = Bundle(bundle.directory, both, opened.digest, "device")
    runs = []

    def run_graph(name):
        runs.append(name)
        return np.zeros(stem.shape, np.uint8)

    first, second = measure_device(shared, run_graph, picture, threads=2, repeats=2, listener=lambda *_: None).rows
    assert first.batches == second.batches
    assert first.graph == second.graph
    assert runs == [stem.device_graph] * 4


def test_a_head_that_does_not_fit_its_coder_is_an_error_of_ours(bundle, picture):
    opened = Bundle.open(bundle.directory, "device")
    with pytest.raises(BundleError, match="does not fit its graph"):
        measure_device(
            opened, lambda _: np.zeros((1, 1, 1), np.uint8), picture, threads=1, repeats=1, listener=lambda *_: None
        )


def test_on_the_cluster_a_frame_takes_its_decoder_and_the_tail_of_its_batch(cluster, bundle):
    rows = {row.point: row for row in cluster.rows}
    assert list(rows) == ["input", "stem"]
    for row in rows.values():
        assert [each.batch for each in row.batches] == [1, 4]
        assert row.seconds(4) == row.coder_s + row.batches[1].seconds
        assert min(row.coder_s, row.batches[0].seconds) > 0
    assert cluster.option_s() == {row.id: row.seconds(1) for row in cluster.rows}
    assert (cluster.side, cluster.engine, cluster.bundle) == ("cluster", "onnxruntime", bundle.digest)
    with pytest.raises(SettingError, match="a batch of 2") as caught:
        cluster.option_s(2)
    assert "one of: 1, 4" in caught.value.mend


@pytest.mark.parametrize("batches", [[], [0, 1]])
def test_batches_of_no_frames_are_refused_before_a_bundle_is_opened(tmp_path, picture, batches):
    with pytest.raises(SettingError):
        measure_cluster(tmp_path, picture, OnnxEngine(1), batches=batches, repeats=1, listener=lambda *_: None)


def test_a_missing_bundle_is_an_error_of_ours(tmp_path, picture):
    with pytest.raises(BundleError):
        measure_cluster(tmp_path, picture, OnnxEngine(1), batches=[1], repeats=1, listener=lambda *_: None)


def test_an_emulated_profile_has_every_time_multiplied_and_says_so(device):
    slow = device.emulating("raspberry-pi-4b", 8.0)
    assert {key: 8 * seconds for key, seconds in device.option_s().items()} == pytest.approx(slow.option_s())
    assert [row.coder_spread_s for row in slow.rows] == [8 * row.coder_spread_s for row in device.rows]
    assert slow.origin == f"emulated: raspberry-pi-4b, ×8 of {device.machine}, onnxruntime"
    assert "emulated: raspberry-pi-4b, ×8" in option_note(slow)
    assert "multiplied by 8" in option_note(slow)
    assert "emulated: raspberry-pi-4b, ×8" in str(option_table(slow).title)
    assert "emulated" not in device.origin + option_note(device) + str(option_table(device).title)


def test_a_profile_of_options_comes_back_from_its_file_as_it_was(device, cluster, tmp_path):
    for profile in (device, cluster, device.emulating("jetson-nano", 2.5)):
        assert OptionProfile.load(profile.save(tmp_path / "options.json")) == profile


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"factor": 2.0}, "emulates no device"),
        ({"side": "middle"}, "side must be one of device, cluster"),
        ({"bundle": "short"}, "64"),
        ({"rows": [{}]}, r"rows\[0\]"),
    ],
)
def test_a_file_that_is_no_profile_of_options_is_refused_by_what_is_wrong(device, tmp_path, change, said):
    file = device.save(tmp_path / "options.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(SettingError, match=said):
        OptionProfile.load(file)


def test_an_option_that_is_there_twice_is_refused(device):
    with pytest.raises(SettingError, match="twice"):
        replace(device, rows=(device.rows[0], device.rows[0]))


def test_the_table_has_a_column_for_every_size_of_batch(device, cluster):
    assert [column.header for column in option_table(cluster).columns][3:] == [
        "decode, ms", "tail ×1, ms", "tail ×4, ms", "a frame, ms",
    ]  # fmt: skip
    assert [column.header for column in option_table(device).columns][3:] == ["encode, ms", "head, ms", "a frame, ms"]
    assert (option_table(cluster).row_count, option_table(device).row_count) == (2, 3)
