import pytest
import torch
from torch import nn
from torch.nn import functional

from cluster.points import Cuts
from wire.errors import BackboneError, UnknownPoint

VECTOR = torch.zeros(1, 6)


def names(points):
    return [point.name for point in points]


def assert_splits_exactly(cuts, module, x):
    with torch.inference_mode():
        whole = module(x)
        for point in cuts.points:
            head, tail = cuts.split(point.name)
            features = head(x)
            assert features.shape[1:] == point.shape
            assert torch.equal(tail(features), whole), point.name


def test_head_and_tail_give_the_answer_of_lite0_bit_for_bit_at_every_offered_point(lite0, lite0_cuts):
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))

    assert len(lite0_cuts.points) > 20
    assert_splits_exactly(lite0_cuts, lite0.module, x)


def test_head_and_tail_take_batches_of_any_size(toy):
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    assert_splits_exactly(Cuts(toy.module, toy.example()), toy.module, x)


def test_the_macs_of_head_and_tail_are_those_of_lite0_at_every_point(lite0_cuts):
    totals = {point.head_macs + point.tail_macs for point in lite0_cuts.every_point}

    assert len(totals) == 1
    assert totals.pop() == pytest.approx(385e6, rel=0.005)


def test_the_head_grows_from_nothing_at_the_input_to_everything_at_the_output(lite0_cuts):
    heads = [point.head_macs for point in lite0_cuts.points]

    assert names(lite0_cuts.points)[0] == "input"
    assert names(lite0_cuts.points)[-1] == "output"
    assert heads == sorted(heads)
    assert heads[0] == 0
    assert lite0_cuts.points[-1].tail_macs == 0


def test_a_residual_block_of_lite0_is_one_step(lite0_cuts):
    every = names(lite0_cuts.every_point)

    assert "blocks.1.act0" in every  # no skip goes around the inside of this block
    assert "blocks.2" in every
    assert not [name for name in every if name.startswith("blocks.2.")]


def test_a_point_says_the_shape_and_the_raw_bytes_of_one_frame(lite0):
    cuts = Cuts(lite0.module, lite0.example(batch=2))

    assert cuts.point("blocks.4").shape == (40, 28, 28)
    assert cuts.point("blocks.4").raw_bytes == 40 * 28 * 28 * 4


def test_of_points_with_equal_work_the_last_that_is_smallest_is_offered(lite0_cuts):
    # The pool, the flattening and the dropout behind it cost nothing and give the same 1280 numbers.
    every = names(lite0_cuts.every_point)

    assert {"act1", "pool", "flatten", "dropout"} <= set(every)
    assert {"act1", "pool", "flatten", "dropout"} & set(names(lite0_cuts.points)) == {"dropout"}


class SkipAround(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))

    def forward(self, x):
        return x + self.inner(x)


def test_a_skip_around_everything_leaves_only_input_and_output():
    module = SkipAround().eval()
    cuts = Cuts(module, VECTOR)

    assert names(cuts.every_point) == ["input", "output"]
    assert names(cuts.points) == ["input", "output"]
    assert_splits_exactly(cuts, module, torch.randn(3, 6))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.before = nn.Linear(6, 6)
        self.left = nn.Linear(6, 3)
        self.right = nn.Linear(6, 3)
        self.after = nn.Linear(6, 2)

    def forward(self, x):
        x = self.before(x)
        return self.after(torch.cat([self.left(x), self.right(x)], dim=1))


def test_neither_of_two_branches_is_a_cut_but_their_join_is():
    module = Branches().eval()
    cuts = Cuts(module, VECTOR)

    assert names(cuts.every_point) == ["input", "before", "cat", "output"]
    assert_splits_exactly(cuts, module, torch.randn(3, 6))


class LateSkip(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(6, 6) for _ in range(3))

    def forward(self, x):
        early = self.first(x)
        return self.third(self.second(early)) * early


def test_what_a_later_step_needs_again_must_pass_the_cut_too():
    assert names(Cuts(LateSkip(), VECTOR).every_point) == ["input", "first", "output"]


class WithConstants(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.full((6,), 3.0))
        self.register_buffer("shift", torch.arange(6.0))
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.second(self.first(x) * self.gain.exp() + self.shift) + self.shift[:2]


def test_parameters_and_buffers_that_the_graph_fetches_are_no_cuts_and_hide_none():
    module = WithConstants().eval()
    cuts = Cuts(module, VECTOR)

    assert names(cuts.every_point) == ["input", "first", "mul", "add", "second", "output"]
    assert_splits_exactly(cuts, module, torch.randn(3, 6))


class EarlyConstant(WithConstants):
    def forward(self, x):
        gain = self.gain.exp()
        return self.second(self.first(x) * gain)


def test_a_constant_fetched_long_before_it_is_needed_hides_no_cut():
    module = EarlyConstant().eval()

    assert names(Cuts(module, VECTOR).every_point) == ["input", "first", "mul", "output"]


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8 * 8, 5)

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv(x)), 2)
        return functional.softmax(self.fc(x.view(x.size(0), -1)), dim=1)


def test_functions_and_methods_are_cut_like_modules():
    module = Functional().eval()
    cuts = Cuts(module, torch.zeros(1, 3, 16, 16))

    assert names(cuts.every_point) == ["input", "conv", "relu", "max_pool2d", "view", "fc", "output"]
    assert names(cuts.points) == ["input", "max_pool2d", "output"]  # rather than its view as a vector
    assert_splits_exactly(cuts, module, torch.randn(3, 3, 16, 16))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.step, self.last = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.last(self.step(self.step(x)))


def test_a_module_called_twice_gives_two_points_of_different_names():
    module = Twice().eval()
    cuts = Cuts(module, VECTOR)

    assert len(set(names(cuts.every_point))) == 4
    assert_splits_exactly(cuts, module, torch.randn(3, 6))


def test_a_result_that_nothing_needs_does_not_hide_a_cut():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.unused = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x):
            early = self.first(x)
            self.unused(early)
            return self.second(early)

    assert names(Cuts(Idle(), VECTOR).every_point) == ["input", "first", "output"]


def test_a_backbone_is_cut_in_evaluation_mode():
    module = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 2)).train()
    head, tail = Cuts(module, VECTOR).split("1")

    assert not head.training
    assert not tail.training


class Untraceable(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_backbone_that_cannot_be_traced_is_refused_with_a_mend():
    with pytest.raises(BackboneError, match="Untraceable cannot be traced") as caught:
        Cuts(Untraceable(), VECTOR)

    assert "torch.fx" in caught.value.mend
    assert caught.value.__cause__ is not None


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


class TwoOutputs(nn.Module):
    def forward(self, x):
        return x, x + 1


@pytest.mark.parametrize(("module", "fault"), [(TwoInputs(), "takes 2 inputs"), (TwoOutputs(), r"gives \(x, add\)")])
def test_a_backbone_that_does_not_map_one_tensor_to_one_tensor_is_refused(module, fault):
    with pytest.raises(BackboneError, match=fault) as caught:
        Cuts(module, VECTOR)

    assert "one tensor to one tensor" in caught.value.mend


@pytest.mark.parametrize("ask", [Cuts.point, Cuts.split])
def test_an_unknown_point_is_refused_with_the_points_that_there_are(ask):
    with pytest.raises(UnknownPoint, match="no partition point 'middle'") as caught:
        ask(Cuts(Branches(), VECTOR), "middle")

    assert caught.value.mend == "one of: input, before, cat, output"


class GainFromBefore(nn.Module):
    """Reads a parameter before the cut and uses it after."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.gain = nn.Parameter(torch.ones(6) * 0.5)

    def forward(self, x):
        gain = self.gain.exp()
        return self.second(self.first(x)) * gain


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_constant_made_before_the_cut_is_there_after_it():
    module = GainFromBefore().eval()

    assert_splits_exactly(Cuts(module, VECTOR), module, torch.randn(2, 6))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        lambda x: (x + 1).chunk(2, dim=1),
        lambda x: (x + 1).sum(),
    ],
)
def test_a_backbone_that_maps_no_tensor_to_a_tensor_is_refused(function):
    with pytest.raises(BackboneError) as refused:
        Cuts(Lambda(function), VECTOR)

    assert refused.value.mend


def test_a_frame_of_the_wrong_shape_is_refused():
    with pytest.raises(BackboneError, match="shape"):
        Cuts(nn.Sequential(nn.Linear(7, 2)), VECTOR)


def test_a_module_called_output_is_a_point_of_another_name():
    module = nn.Sequential()
    module.add_module("output", nn.Linear(6, 6))
    module.add_module("last", nn.Linear(6, 2))

    cuts = Cuts(module.eval(), VECTOR)

    assert len(cuts.every_point) == 3
    assert_splits_exactly(cuts, module, torch.randn(2, 6))
