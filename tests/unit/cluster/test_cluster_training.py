import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cluster.codecs.bottlenet import BottleNetSetting
from cluster.codecs.weights import CodecKey, load_codec
from cluster.training.trainer import TrainingPlan
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


@pytest.mark.parametrize("after", [5, 9, 13], ids=["first epoch", "second epoch", "third epoch"])
def test_a_run_that_was_stopped_goes_on_and_ends_like_one_that_was_not(train, tmp_path, after):
    def stop(progress):
        if progress.stage != "features" and progress.step >= after:
            raise Stopped

    with pytest.raises(Stopped):
        train(tmp_path / "stopped", plan=PLAN, listener=stop)
    assert not (tmp_path / "stopped" / "weights").exists()

    said = []
    resumed = train(tmp_path / "stopped", plan=PLAN, listener=said.append)
    assert "features" not in {progress.stage for progress in said}
    assert said[0].step == after
    assert_same_weights(resumed, train(tmp_path / "unbroken", plan=PLAN))


def test_a_finished_run_is_not_trained_again(train, tmp_path):
    first = load_file(train(tmp_path, plan=PLAN))
    said = []
    second = load_file(train(tmp_path, plan=PLAN, listener=said.append))
    assert said == []
    assert all(torch.equal(second[name], first[name]) for name in first)


@pytest.mark.parametrize("change", [{"plan": replace(PLAN, learning_rate=1e-4)}, {"setting": BottleNetSetting(5, 2)}])
def test_a_run_folder_of_other_settings_is_refused(train, tmp_path, change):
    train(tmp_path, plan=PLAN)
    with pytest.raises(CheckpointError, match="other settings") as caught:
        train(tmp_path, **{"plan": PLAN, **change})
    assert "--run" in caught.value.mend


def test_a_damaged_checkpoint_is_refused_with_a_way_out(train, tmp_path):
    train(tmp_path, plan=PLAN)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match="damaged") as caught:
        train(tmp_path, plan=PLAN)
    assert "remove it" in caught.value.mend


def test_no_checkpoint_is_ever_half_written(train, tmp_path):
    train(tmp_path, plan=PLAN)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "checkpoint.pt", "features.npy", "features.json", "logits.npy",
    }  # fmt: skip


def test_a_broken_picture_is_passed_over(train, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = [pictures[0], broken, *pictures[1:], pictures[0]]
    said = []
    train(tmp_path, plan=PLAN, paths=paths, listener=said.append)
    features = np.load(tmp_path / "run" / "features.npy")
    assert len(features) == len(paths) * PLAN.views
    assert np.abs(features).max(axis=(1, 2, 3)).min() > 0  # no row was left empty
    assert max(progress.step for progress in said if progress.stage == "features") == 9 * PLAN.views


def test_a_set_of_which_more_than_a_tenth_is_broken_is_refused(train, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match="more than a tenth"):
        train(tmp_path, plan=PLAN, paths=[*pictures, broken, broken])


def test_what_does_not_exist_or_does_not_fit_is_refused_before_anything_is_computed(train, tmp_path):
    with pytest.raises(UnknownPoint):
        train(tmp_path, point="nowhere")
    with pytest.raises(SettingError):
        train(tmp_path, setting=BottleNetSetting(4, 5))
    with pytest.raises(SettingError):
        train(tmp_path, point="flatten")
    assert list(tmp_path.iterdir()) == []


def test_every_channel_has_a_table_that_can_code_every_symbol(toy, trained):
    codec = load_codec(trained.weights, CodecKey("toy", "stem", "bottlenet", "c4-s2"), (8, 16, 16))
    assert (codec.tables.shape, codec.tables.dtype) == ((4, 256), np.uint16)
    assert codec.tables.min() >= 1
    assert codec.tables.max() <= 60_000
    assert HuffmanCoder(codec.tables).alphabet == 256


def test_a_picture_of_another_shape_is_trained_on_like_any_other(train, tmp_path):
    paths = []
    for number, size in enumerate([(33, 90), (200, 32), (40, 40), (64, 48)]):
        path = tmp_path / f"{number}.png"
        Image.effect_noise(size, 50).save(path)
        paths.append(path)
    train(tmp_path, plan=PLAN, paths=paths)
    assert np.load(tmp_path / "run" / "features.npy").shape == (16, 8, 16, 16)
