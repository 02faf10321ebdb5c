import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cluster.backbones.registry import Backbone, Normalise
from cluster.points import Cuts
from cluster.profiling import groups
from cluster.profiling.chain import Chain, merge_lightest
from cluster.profiling.chain_graphs import ChainGraphs, boundary, busy_picture
from cluster.profiling.group_profile import GroupProfile
from cluster.profiling.groups import measure_groups
from cluster.profiling.machine import machine_name
from cluster.profiling.plot import plot_groups
from cluster.profiling.profile_file import MAX_PROFILE_BYTES
from cluster.profiling.samples import Samples, own_clock, visits
from cluster.profiling.sessions import open_session
from cluster.profiling.table import group_note, group_table
from wire.errors import BackboneError, SettingError


class InPlaceNet(nn.Module):
    """(N, 3, 32, 32) to (N, 6) logits; activations work in place, and the first group has no weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(4, 6)

    def forward(self, x):
        x = torch.matmul(x, x.transpose(2, 3)) / 100
        x = self.act(self.first(x))
        x = self.act(self.second(x))
        return self.fc(x.mean((2, 3)))


@pytest.fixture(scope="module")
def in_place(toy):
    torch.manual_seed(0)
    return Backbone("in-place", InPlaceNet().eval(), toy.frame, tuple("abcdef"))


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def profile(toy, told):
    return measure_groups(
        toy, most_groups=20, threads=1, repeats=5, backward=True, listener=lambda *step: told.append(step)
    )


@pytest.mark.parametrize("name", ["toy", "in_place"])
def test_every_range_of_groups_gives_what_the_whole_network_has_at_its_end(request, tmp_path, name):
    backbone = request.getfixturevalue(name)
    chain = Chain.of(backbone, most_groups=20)
    graphs = ChainGraphs(chain, tmp_path)
    pixels = busy_picture(32, 32)
    tensors = graphs.tensors(pixels, 1)
    with torch.no_grad():
        logits = backbone.module(Normalise(backbone.frame)(torch.from_numpy(pixels)))
    assert np.allclose(tensors[-1], logits.softmax(1).numpy(), atol=1e-4)
    assert [tensor.nbytes for tensor in tensors] == list(chain.tensor_bytes)
    for first, last in chain.ranges:
        session = open_session(graphs.path(first, last), 1)
        (given,) = session.run(None, {boundary(first): tensors[first]})
        assert np.allclose(given, tensors[last + 1], rtol=1e-3, atol=1e-4), (first, last)


@pytest.mark.parametrize("name", ["toy", "in_place"])
def test_group_modules_one_after_another_are_the_network(request, name):
    backbone = request.getfixturevalue(name)
    modules = Chain.of(backbone, most_groups=20).group_modules()
    frame = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    tensor = frame.clone()
    with torch.no_grad():
        for module in modules:
            tensor = module(tensor)
        assert torch.equal(tensor, backbone.module(frame))
    assert len(modules) > 2


def test_a_residual_unit_is_one_group_and_the_input_counts_as_pixels(toy):
    chain = Chain.of(toy, most_groups=20)
    assert chain.boundaries == ("input", "stem", "flatten", "output")
    assert chain.tensor_bytes == (32 * 32 * 3, 8 * 16 * 16 * 4, 8 * 4, 4 * 4)


def test_merging_drops_the_lightest_neighbours_and_keeps_the_work(lite0, lite0_cuts):
    points = lite0_cuts.points
    merged = merge_lightest(points, 20)
    assert len(merged) == 21
    assert (merged[0], merged[-1]) == (points[0], points[-1])
    assert set(merged) < set(points)
    assert {f"blocks.{number}" for number in range(15)} < {point.name for point in merged}
    works = [after.head_macs - before.head_macs for before, after in pairwise(merged)]
    assert sum(works) == points[-1].head_macs
    assert merge_lightest(points, 99) == points
    assert [point.name for point in merge_lightest(points, 1)] == ["input", "output"]


def test_merging_the_toy_keeps_its_work_and_no_groups_at_all_are_refused(toy):
    whole = sum(Chain.of(toy, most_groups=20).macs)
    assert Chain.of(toy, most_groups=2).macs[0] + Chain.of(toy, most_groups=2).macs[1] == whole
    assert Chain.of(toy, most_groups=1).macs == (whole,)
    assert Chain.of(toy, most_groups=1).group_modules()[0](toy.example()).shape == (1, 4)
    with pytest.raises(SettingError, match="0 groups"):
        Chain.of(toy, most_groups=0)


def test_a_profile_has_a_time_for_every_range_forwards_and_backwards(profile, toy):
    cuts = Cuts(toy.module, toy.example())
    assert profile.boundaries == tuple(point.name for point in cuts.points)
    assert sum(profile.macs) == cuts.point("output").head_macs
    for square in (profile.seconds, profile.backward_s):
        times = np.array(square)
        assert times.shape == (3, 3)
        assert (times[np.triu_indices(3)] > 0).all()
        assert (times[np.tril_indices(3, -1)] == 0).all()
    assert np.array(profile.spread_s).shape == (3, 3)
    assert profile.machine.endswith(", 1 thread")
    assert profile.grouped_share == pytest.approx(
        profile.seconds[0][2] / (profile.seconds[0][0] + profile.seconds[1][1] + profile.seconds[2][2])
    )


def test_the_listener_hears_of_every_stage_and_that_all_is_done(profile, told):
    stages = dict.fromkeys(stage for stage, _, _ in told)
    assert list(stages) == ["finding the groups", "exporting", "forward", "backward"]
    assert [step for step in told if step[0] == "forward"][-1][1:] == (6 * 5, 6 * 5)
    assert told[-1] == ("backward", 18, 18)


def test_where_there_is_no_room_sessions_are_opened_for_each_visit_and_all_is_measured(toy, monkeypatch):
    opened = []

    def open_counted(graph, threads):
        opened.append(graph.name)
        return open_session(graph, threads)

    monkeypatch.setattr(groups, "KEPT_BYTES", -(2**40))
    monkeypatch.setattr(groups, "open_session", open_counted)
    profile = measure_groups(toy, most_groups=2, threads=1, repeats=8, backward=False, listener=lambda *_: None)
    assert opened == ["groups-0-0.onnx", "groups-0-1.onnx", "groups-1-1.onnx"] * 2
    assert profile.backward_s is None
    assert profile.whole_s > 0


def test_the_backward_pass_of_groups_in_place_and_of_groups_without_weights_is_measured(in_place):
    profile = measure_groups(in_place, most_groups=20, threads=1, repeats=1, backward=True, listener=lambda *_: None)
    times = np.array(profile.backward_s)
    assert times[0, 0] < times[0, 1]  # nothing is to be done for a group without weights that is the first
    assert (times[np.triu_indices(profile.groups)] > 0).all()


def test_a_network_that_cannot_be_exported_is_an_error_of_ours(toy, monkeypatch):
    def refuse(*_, **__):
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(BackboneError, match="toy cannot be exported to ONNX: no such operator"):
        measure_groups(toy, most_groups=2, threads=1, repeats=1, backward=False, listener=lambda *_: None)


def test_a_graph_that_onnx_runtime_refuses_is_an_error_of_ours(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(BackboneError, match=r"broken\.onnx"):
        open_session(tmp_path / "broken.onnx", 1)


@pytest.mark.parametrize("backward", [True, False])
def test_a_profile_comes_back_from_its_file_as_it_was(profile, tmp_path, backward):
    kept = profile if backward else replace(profile, backward_s=None)
    file = kept.save(tmp_path / "a" / "groups.json")
    assert GroupProfile.load(file) == kept
    assert [path.name for path in file.parent.iterdir()] == ["groups.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": [[1.0]]}, "seconds is not 3 × 3"),
        ({"backward_s": [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]}, "backward_s is not 3 × 3"),
        ({"boundaries": ["input", "output"]}, "boundaries has 2 entries for 3 groups"),
        ({"macs": []}, "without groups"),
        ({"spread_s": [[-1.0]]}, r"spread_s\[0\]\[0\]"),
        ({"tensor_bytes": ["many"]}, "must be a number"),
        ({"colour": "blue"}, "colour is an unknown field"),
        ({"threads": None}, "threads must be an integer"),
    ],
)
def test_a_file_that_is_no_profile_of_groups_is_refused_by_what_is_wrong(profile, tmp_path, change, said):
    file = profile.save(tmp_path / "groups.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(SettingError, match=said) as caught:
        GroupProfile.load(file)
    assert "isthmus profile groups" in caught.value.mend


@pytest.mark.parametrize("text", ["", "[]", "{", '{"seconds": NaN}', "\x00", "[" * 100_000])
def test_a_file_that_is_no_record_at_all_is_refused(tmp_path, text):
    file = tmp_path / "groups.json"
    file.write_text(text)
    with pytest.raises(SettingError, match="is not a profile"):
        GroupProfile.load(file)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path):
    with pytest.raises(SettingError, match="No such file"):
        GroupProfile.load(tmp_path / "groups.json")
    (tmp_path / "huge.json").write_bytes(b" " * (MAX_PROFILE_BYTES + 1))
    with pytest.raises(SettingError, match="larger"):
        GroupProfile.load(tmp_path / "huge.json")


def test_repeats_are_dealt_out_over_visits():
    assert list(visits(10)) == [4, 4, 2]
    assert list(visits(1)) == [1]


def test_samples_give_the_median_and_the_middle_half():
    ticks = iter([0.0, 5.0, 0.0, 1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 7.0, 8.0])
    runs = []
    samples = Samples(lambda: next(ticks))
    samples.visit("a", lambda: runs.append("a"), 5)
    samples.run("b", lambda: runs.append("b"))
    assert runs == ["a"] * 6 + ["b"]
    assert (samples.median_s("a"), samples.spread_s("a")) == (3.0, 2.0)
    assert (samples.median_s("b"), samples.spread_s("b")) == (1.0, 0.0)


def test_one_thread_is_timed_by_its_own_processor_time_and_several_by_what_passed():
    assert own_clock(1) is time.thread_time
    assert own_clock(2) is time.perf_counter


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC\n", "AMD EPYC, 2 threads"),
        ("processor : 0\nModel : Raspberry Pi 4 Model B Rev 1.4\n", "Raspberry Pi 4 Model B Rev 1.4, 2 threads"),
    ],
)
def test_a_machine_is_named_by_its_processor_or_its_board(tmp_path, cpuinfo, name):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert machine_name(2, tmp_path / "cpuinfo") == name


def test_a_machine_without_cpuinfo_has_a_name_too(tmp_path):
    name, threads = machine_name(1, tmp_path / "nowhere").split(", ")
    assert name
    assert threads == "1 thread"


def test_the_table_has_a_row_a_group_and_the_note_says_what_grouping_comes_to(profile):
    table = group_table(profile)
    assert (table.row_count, len(table.columns)) == (3, 6)
    assert len(group_table(replace(profile, backward_s=None)).columns) == 5
    assert f"grouped over the sum of singles is {profile.grouped_share:.2f}" in group_note(profile)
    assert "Backwards" in group_note(profile)
    assert "Backwards" not in group_note(replace(profile, backward_s=None))


def test_the_picture_of_a_profile_is_a_png(profile, tmp_path):
    plot_groups(profile, tmp_path / "groups.png")
    with Image.open(tmp_path / "groups.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 990)
