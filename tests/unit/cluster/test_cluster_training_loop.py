"""The loop with a recipe of a user's own: what it keeps, averages and tells."""

import numpy as np
import pytest
import torch
from torch import nn

from cluster.codecs.registry import build_codec
from cluster.training import loop
from cluster.training.average import WeightAverage
from cluster.training.checkpoint import load_checkpoint
from cluster.training.features import Features
from cluster.training.loop import TrainingLoop
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import ParameterGroup, Recipe, Stage, Step
from wire.errors import CheckpointError

CPU = torch.device("cpu")
SHAPE = (2, 4, 4)


class Noisy(Recipe):
    """Two stages whose losses need random numbers, with a module of its own that learns ten times as fast."""

    def __init__(self, plan):
        super().__init__(build_codec("bottlenet", "c2-s1", SHAPE), nn.Flatten(), plan)
        self.extra["gain"] = nn.Linear(32, 32)
        self.finished = False

    @property
    def stages(self):
        return Stage("first", 1), Stage("none", 0), Stage("second", 2)

    def parameters(self):
        return [
            ParameterGroup(list(self.codec.parameters())),
            ParameterGroup(list(self.extra.parameters()), scale=10.0, weight_decay=0.0),
        ]

    def loss(self, features, logits, stage, fraction):
        assert 0 <= fraction < 1
        noisy = self.codec(features) + torch.randn_like(features)
        answers = self.extra["gain"](noisy.flatten(1))
        return Step((answers - logits).square().mean(), bits=torch.tensor(80.0 if stage == "first" else 160.0))

    def finish(self):
        self.finished = True


def run(folder, *, average=None, listener=lambda progress: None, seed=0):
    torch.manual_seed(7)
    random = torch.Generator().manual_seed(1)
    features = torch.randn(24, *SHAPE, generator=random).half()
    source = Features(features, features.flatten(1))
    recipe = Noisy(TrainingPlan(batch=4, learning_rate=0.01, average=average, seed=seed, clip=1.0))
    trained, held_out = np.arange(4, 24), np.arange(4)
    training = TrainingLoop(
        recipe, source, trained, held_out, trained, folder=folder, identity="it", device=CPU, listener=listener
    )
    training.run(load_checkpoint(folder, "it", CPU))
    return recipe


def state(recipe):
    return {**recipe.codec.state_dict(), **{f"extra.{name}": each for name, each in recipe.extra.state_dict().items()}}


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("stop_at", [2, 6, 13])
def test_a_killed_run_with_random_losses_and_modules_of_its_own_ends_like_an_unbroken_one(
    tmp_path, monkeypatch, average, stop_at
):
    monkeypatch.setattr(loop, "TELL_EVERY", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)

    def stop(progress):
        if progress.step == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", average=average, listener=stop)
    resumed = state(run(tmp_path / "killed", average=average))
    unbroken = state(run(tmp_path / "unbroken", average=average))
    assert all(torch.equal(tensor, unbroken[name]) for name, tensor in resumed.items())


def test_the_recipe_is_told_its_stages_and_the_listener_the_recipes_own_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "TELL_EVERY", 1)
    said = []
    recipe = run(tmp_path, listener=said.append)
    assert [(progress.stage, progress.bytes) for progress in said] == [("first", 10.0)] * 5 + [("second", 20.0)] * 10
    assert [progress.step for progress in said] == list(range(1, 16))
    assert recipe.finished


def test_groups_learn_at_their_own_share_of_the_rate(tmp_path):
    run(tmp_path)
    groups = load_checkpoint(tmp_path, "it", CPU)["optimizer"]["param_groups"]
    assert groups[1]["lr"] == pytest.approx(10 * groups[0]["lr"])
    assert [group["weight_decay"] for group in groups] == [1e-4, 0.0]


def test_the_average_is_what_is_kept(tmp_path):
    plain, averaged = state(run(tmp_path / "plain")), state(run(tmp_path / "averaged", average=0.99))
    assert any(not torch.equal(tensor, averaged[name]) for name, tensor in plain.items())


def test_the_average_of_weights_that_stand_still_is_those_weights():
    module = nn.BatchNorm2d(3)
    average = WeightAverage(module, 0.9)
    for _ in range(20):
        average.update()
    with average.applied():
        assert torch.allclose(module.weight, torch.ones(3))
    average.apply()
    assert int(module.num_batches_tracked) == 0


def test_the_average_follows_slowly_and_is_taken_out_again():
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    average = WeightAverage(module, 0.9)
    for _ in range(5):
        nn.init.ones_(module.weight)
        average.update()
    with average.applied():
        assert 0.5 < float(module.weight.detach()) < 1.0
    assert float(module.weight.detach()) == 1.0


def test_a_state_of_another_network_is_refused(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    saved = torch.load(path, weights_only=True)
    saved["module"] = {"codec.nothing": torch.zeros(1)}
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        run(tmp_path)
    assert "remove it" in caught.value.mend
