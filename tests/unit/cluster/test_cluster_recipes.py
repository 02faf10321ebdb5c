import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from cluster.codecs.codec import Codec
from cluster.codecs.registry import build_codec
from cluster.points import Cuts
from cluster.training.distillation import answers_apart
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe
from cluster.training.recipe_registry import build_recipe
from cluster.training.tail_stages import tail_stages

SHAPE = (8, 16, 16)
TRAINED = [("bottlenet", "c4-s2"), ("bottlenet", "c4-s2-q75"), ("deepcod", "c4-s2"), ("offload-autoencoder", "c4-s4")]


def features(count=16):
    random = torch.Generator().manual_seed(3)
    return F.interpolate(torch.randn(count, 8, 4, 4, generator=random), size=SHAPE[1:], mode="bilinear")


@pytest.fixture(scope="module")
def tail(toy):
    return Cuts(toy.module, toy.example()).split("stem")[1].requires_grad_(requires_grad=False)


def recipe_for(name, setting, tail):
    torch.manual_seed(0)
    codec = build_codec(name, setting, SHAPE)
    recipe = build_recipe(codec, tail, TrainingPlan(reconstruct_epochs=1, distil_epochs=1))
    recipe.begin(features())
    return recipe


@pytest.mark.parametrize("number", [0, -1], ids=["first stage", "last stage"])
@pytest.mark.parametrize(("name", "setting"), TRAINED)
def test_a_few_steps_lower_the_loss(name, setting, tail, number):
    recipe = recipe_for(name, setting, tail)
    logits, stage = tail(features()), recipe.stages[number]
    optimizer = torch.optim.Adam([each for group in recipe.parameters() for each in group.parameters], lr=0.005)
    losses = []
    for step in range(30):
        loss = recipe.loss(features(), logits, stage.name, step / 30).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0], losses
    recipe.finish()
    with torch.inference_mode():
        assert recipe.answer(features()).shape == logits.shape


@pytest.mark.parametrize(("name", "setting"), TRAINED)
def test_each_parameter_is_trained_once_and_the_tail_not_at_all(name, setting, tail):
    recipe = recipe_for(name, setting, tail)
    trained = [id(each) for group in recipe.parameters() for each in group.parameters]
    assert len(trained) == len(set(trained)) == len(list(recipe.codec.parameters()))
    recipe.loss(features(), tail(features()), recipe.stages[-1].name, 0.0).loss.backward()
    assert all(parameter.grad is None for parameter in tail.parameters())


def test_a_codec_without_a_recipe_has_no_stages_and_is_calibrated(tail):
    recipe = recipe_for("jalad", "c8", tail)
    assert recipe.stages == ()
    assert float(recipe.codec.encoder.quantiser.high) == float(features().max())


def test_the_ranges_hold_still_in_the_second_half_of_the_distillation(tail):
    recipe = recipe_for("bottlenet", "c4-s2", tail)
    moved = {}
    for stage, fraction in (("reconstruct", 0.9), ("distil", 0.4), ("distil", 0.5), ("distil", 0.9)):
        before = recipe.codec.encoder.maximum.clone()
        recipe.loss(features(), tail(features()), stage, fraction)
        moved[stage, fraction] = not torch.equal(before, recipe.codec.encoder.maximum)
    assert list(moved.values()) == [True, True, False, False]


def test_the_deepcod_recipe_looks_at_every_later_stage_of_the_tail(tail):
    recipe = recipe_for("deepcod", "c4-s2", tail)
    stages = len(tail_stages(tail, features()[:1]))
    assert stages > 1
    assert len(recipe._walk(features())) == stages
    recipe.codec.eval()
    with torch.no_grad():
        wanted, given = recipe._walk(features()), recipe._walk(recipe.codec(features()))
        apart = sum(F.mse_loss(g, w) / max(1e-6, float(w.var())) for g, w in zip(given, wanted, strict=True))
        loss = recipe.loss(features(), tail(features()), "distil", 0.0).loss - 0.1 * recipe.codec.regulariser()
    assert float(loss) == pytest.approx(float(apart), rel=1e-4)


def test_the_stages_of_a_tail_are_the_tail_bit_for_bit(lite0_cuts):
    head, tail = lite0_cuts.split("blocks.13")
    with torch.inference_mode():
        features = head(torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(3)))
        parts = tail_stages(tail, features)
        assert len(parts) >= 3
        assert torch.equal(nn.Sequential(*parts)(features), tail(features))


def test_equal_answers_are_not_apart_and_others_are_the_more_the_further():
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(1))
    apart = [float(answers_apart(logits + step * logits.roll(1, 0), logits)) for step in (0.0, 0.5, 1.0)]
    assert apart[0] == pytest.approx(0, abs=1e-6)
    assert apart == sorted(apart)


class WithTail(Recipe):
    """A recipe of a user's own that trains a copy of the last layer beside the codec."""

    def __init__(self, codec: Codec, tail: nn.Module, plan: TrainingPlan) -> None:
        super().__init__(codec, tail, plan)
        self.extra["answer"] = nn.Linear(8, 4)


def test_what_a_recipe_trains_beside_the_codec_is_among_its_parameters(tail):
    recipe = WithTail(build_codec("bottlenet", "c4-s2", SHAPE), tail, TrainingPlan())
    (group,) = recipe.parameters()
    assert any(each is recipe.extra["answer"].weight for each in group.parameters)
    with pytest.raises(NotImplementedError):
        recipe.loss(features(), tail(features()), "any", 0.0)
