import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cluster.codecs.weights import CodecKey, load_codec
from cluster.training import loop
from cluster.training.plan import TrainingPlan
from cluster.training.trainer import split_rows
from wire.errors import CheckpointError, DataError, SettingError, UnknownPoint
from wire.huffman import HuffmanCoder

PLAN = TrainingPlan(reconstruct_epochs=2, distil_epochs=2, views=4, batch=8)


class Stopped(Exception):
    """Stands for a Ctrl-C."""


def assert_same_weights(one, other):
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def test_the_loss_falls_and_the_phases_come_in_their_order(trained):
    stages = [progress.stage for progress in trained.progress]
    assert list(dict.fromkeys(stages)) == ["features", "reconstruct", "distil"]
    losses = [progress.loss for progress in trained.progress if progress.stage == "reconstruct"]
    assert losses[-1] < 0.8 * losses[0]


def test_the_listener_is_told_of_every_row_and_how_far_the_training_is(trained):
    features = [progress for progress in trained.progress if progress.stage == "features"]
    assert (features[-1].step, features[-1].steps) == (32, 32)
    steps = [progress for progress in trained.progress if progress.stage != "features"]
    assert [progress.step for progress in steps] == sorted(progress.step for progress in steps)
    assert all(1 <= progress.step <= progress.steps for progress in steps)
    assert all(progress.bytes > 0 for progress in steps)
    assert math.isnan(steps[0].agreement)
    assert 0.0 <= steps[-1].agreement <= 1.0


def test_the_same_seed_gives_the_same_weights(train, tmp_path):
    assert_same_weights(train(tmp_path / "one", plan=PLAN), train(tmp_path / "two", plan=PLAN))


def test_another_seed_gives_other_weights(train, tmp_path):
    one, two = (load_file(train(tmp_path / str(seed), plan=replace(PLAN, seed=seed))) for seed in (0, 1))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def stop_after(step):
    def stop(progress):
        if progress.stage != "features" and progress.step >= step:
            raise Stopped

    return stop


@pytest.mark.parametrize("codec", ["bottlenet", "deepcod", "offload-autoencoder"])
@pytest.mark.parametrize("average", [None, 0.9])
def test_a_run_that_was_stopped_goes_on_and_ends_like_one_that_was_not(train, tmp_path, monkeypatch, codec, average):
    monkeypatch.setattr(loop, "TELL_EVERY", 1)
    plan = replace(PLAN, average=average)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", codec=codec, plan=plan, listener=stop_after(11))
    assert not (tmp_path / "stopped" / "weights").exists()

    said = []
    resumed = train(tmp_path / "stopped", codec=codec, plan=plan, listener=said.append)
    assert "features" not in {progress.stage for progress in said}
    assert said[0].step == 9  # the last epoch's end was step 8
    assert_same_weights(resumed, train(tmp_path / "unbroken", codec=codec, plan=plan))


def test_a_run_that_was_stopped_within_an_epoch_goes_on_from_the_last_save(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "TELL_EVERY", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", plan=PLAN, listener=stop_after(11))
    said = []
    resumed = train(tmp_path / "stopped", plan=PLAN, listener=said.append)
    assert said[0].step == 11
    monkeypatch.undo()
    assert_same_weights(resumed, train(tmp_path / "unbroken", plan=PLAN))


def test_a_finished_run_is_not_trained_again(train, tmp_path):
    first = load_file(train(tmp_path, plan=PLAN))
    said = []
    second = load_file(train(tmp_path, plan=PLAN, listener=said.append))
    assert said == []
    assert all(torch.equal(second[name], first[name]) for name in first)


@pytest.mark.parametrize(
    "change", [{"plan": replace(PLAN, learning_rate=1e-4)}, {"plan": replace(PLAN, views=5)}, {"setting": "c5-s2"}]
)
def test_a_run_folder_of_other_settings_is_refused(train, tmp_path, change):
    train(tmp_path, plan=PLAN)
    said = []
    with pytest.raises(CheckpointError, match="other settings") as caught:
        train(tmp_path, **{"plan": PLAN, "listener": said.append, **change})
    assert "--run" in caught.value.mend
    assert said == []


def test_a_damaged_checkpoint_is_refused_with_a_way_out(train, tmp_path):
    train(tmp_path, plan=PLAN)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="damaged") as caught:
        train(tmp_path, plan=PLAN)
    assert "remove it" in caught.value.mend


def test_nothing_but_the_checkpoint_is_left_in_the_folder_of_a_run(train, tmp_path):
    train(tmp_path, plan=PLAN)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_stops_the_run_and_the_same_command_goes_on(train, tmp_path, monkeypatch):
    save, calls = torch.save, []

    def full(state, path):
        calls.append(path)
        if len(calls) == 3:
            path.write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        train(tmp_path / "full", plan=PLAN)
    assert "the same command" in caught.value.mend
    assert [path.name for path in (tmp_path / "full" / "run").iterdir()] == ["checkpoint.pt"]
    monkeypatch.undo()
    assert_same_weights(train(tmp_path / "full", plan=PLAN), train(tmp_path / "unbroken", plan=PLAN))


def test_a_set_of_which_more_than_a_tenth_is_broken_is_refused(train, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match="more than a tenth"):
        train(tmp_path, plan=PLAN, paths=[*pictures, broken, broken])


@pytest.mark.parametrize("codec", ["bottlenet", "deepcod"])
def test_features_that_are_computed_anew_teach_almost_the_same(train, tmp_path, codec):
    cached, live = (
        load_file(train(tmp_path / str(recompute), codec=codec, plan=PLAN, recompute=recompute))
        for recompute in (False, True)
    )
    assert not (tmp_path / "True" / "features").exists()
    for name, tensor in cached.items():
        if name.endswith("weight"):
            assert torch.allclose(tensor.float(), live[name].float(), atol=0.05), name


def test_features_that_do_not_fit_the_disk_are_computed_anew(train, tmp_path, monkeypatch):
    monkeypatch.setattr("cluster.training.feature_cache.MARGIN_BYTES", 2**62)
    assert train(tmp_path, plan=PLAN).is_file()
    assert not (tmp_path / "features").exists()


def test_a_single_picture_is_enough(train, pictures, tmp_path):
    assert train(tmp_path, plan=PLAN, paths=pictures[:1]).is_file()


def test_no_view_of_a_picture_that_is_held_out_is_trained_on():
    trained, held_out = split_rows(40, 3)
    assert held_out.tolist() == [0, 16, 32]
    assert {row % 40 for row in trained}.isdisjoint({0, 16, 32})
    assert len(trained) == 3 * 37


def test_what_does_not_exist_or_does_not_fit_is_refused_before_anything_is_computed(train, tmp_path):
    with pytest.raises(UnknownPoint):
        train(tmp_path, point="nowhere")
    with pytest.raises(SettingError):
        train(tmp_path, setting="c4-s5")
    with pytest.raises(SettingError):
        train(tmp_path, point="flatten")
    with pytest.raises(SettingError):
        train(tmp_path, codec="abacus")
    assert list(tmp_path.iterdir()) == []


def test_every_channel_has_a_table_that_can_code_every_symbol(toy, trained):
    codec = load_codec(trained.weights, CodecKey("toy", "stem", "bottlenet", "c4-s2"), (8, 16, 16))
    tables = codec.rate_tables["huffman"]
    assert (tables.shape, tables.dtype) == ((4, 256), np.uint16)
    assert tables.min() >= 1
    assert tables.max() <= 60_000
    assert HuffmanCoder(tables).alphabet == 256


def test_a_picture_of_another_shape_is_trained_on_like_any_other(train, tmp_path):
    paths = []
    for number, size in enumerate([(33, 90), (200, 32), (40, 40), (64, 48)]):
        path = tmp_path / f"{number}.png"
        Image.effect_noise(size, 50).save(path)
        paths.append(path)
    assert train(tmp_path, plan=PLAN, paths=paths).is_file()
