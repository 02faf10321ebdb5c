from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cluster.backbones.tracing import trace
from cluster.backbones.user_code import place_in_user_code
from cluster.points import Cuts
from wire.errors import BackboneError

HERE = "test_cluster_backbones_tracing.py"


class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x  # here


class Loop(nn.Module):
    def forward(self, x):
        for _ in range(x.shape[0]):  # here
            x = x + 1
        return x


class Assertion(nn.Module):
    def forward(self, x):
        assert x.shape[1] == 3  # here
        return x


class Length(nn.Module):
    def forward(self, x):
        return x * len(x)  # here


class Number(nn.Module):
    def forward(self, x):
        return x * int(x.shape[1])  # here


class Unpacked(nn.Module):
    def forward(self, x):
        return torch.cat([*x])  # here


class Foreign(nn.Module):
    def forward(self, x):
        return x + torch.from_numpy(np.clip(x, 0, 1))  # here


class Deep(nn.Module):
    """The fault is not in its own forward but in that of a part."""

    def __init__(self):
        super().__init__()
        self.parts = nn.Sequential(nn.Linear(6, 6), Branch())

    def forward(self, x):
        return self.parts(x)


def marked(network):
    """The lines of this file that the network's class marks."""
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    start = lines.index(f"class {type(network).__name__}(nn.Module):")
    return next(number for number, line in enumerate(lines[start:], start + 1) if line.endswith("# here"))


@pytest.mark.parametrize("network", [Branch(), Loop(), Assertion(), Length(), Number(), Unpacked(), Foreign()])
def test_what_cannot_be_traced_is_named_by_file_line_and_source(network):
    line = marked(network)

    with pytest.raises(BackboneError) as caught:
        trace(network)

    assert f"the backbone {type(network).__name__} cannot be traced: " in caught.value.message
    assert f"{HERE}:{line} in forward (`" in caught.value.message
    assert caught.value.message.endswith("# here`)")
    assert "__init__" in caught.value.mend
    assert "@torch.fx.wrap" in caught.value.mend


def test_of_nested_modules_the_innermost_is_blamed():
    with pytest.raises(BackboneError, match=f"{HERE}:{marked(Branch())} in forward"):
        Cuts(Deep(), torch.zeros(1, 6))


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_a_wrapped_network_is_told_to_be_given_bare(wrap):
    with pytest.raises(BackboneError) as caught:
        trace(wrap(nn.Sequential(nn.Linear(6, 6))))

    assert "give the network itself" in caught.value.mend
    assert ".py" not in caught.value.message


class WithMask(nn.Module):
    def forward(self, x, mask=None):
        return x if mask is None else x * mask


def test_the_inputs_of_a_network_that_takes_several_are_named():
    with pytest.raises(BackboneError, match=r"takes 2 inputs \(x, mask\)"):
        trace(WithMask())


class Silent(nn.Module):
    """Three layers, of which the second changes what it gets in place."""

    def __init__(self, step):
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)
        self.step = step

    def forward(self, x):
        x = self.first(x)
        self.step(self, x)
        return self.last(x)


@pytest.mark.parametrize(
    "step",
    [
        lambda network, x: network.relu(x),
        lambda network, x: x.relu_(),
        lambda network, x: torch.relu_(x),
        lambda network, x: functional.relu(x, inplace=True),
        lambda network, x: x[:, :2].add_(1),
        lambda network, x: network.relu(x) + 1,
    ],
)
def test_a_change_in_place_whose_result_is_thrown_away_is_refused(step):
    with pytest.raises(BackboneError, match=r"in place at .* throws the result away") as caught:
        trace(Silent(step))

    assert "use the result" in caught.value.mend


def test_a_python_operator_that_ends_in_an_underscore_changes_nothing():
    # Traced as operator.or_, of which nobody needs the result.
    assert Cuts(Silent(lambda network, x: (x > 0) | (x < -1)).eval(), torch.zeros(1, 6)).point("first")


class InPlace(Silent):
    def forward(self, x):
        x = self.relu(self.first(x))
        x += 1
        return self.last(x.mul_(2))


def test_a_change_in_place_whose_result_is_used_is_cut_like_any_other():
    network = InPlace(None).eval()
    cuts = Cuts(network, torch.zeros(1, 6))
    x = torch.randn(2, 6)

    assert [point.name for point in cuts.every_point] == ["input", "first", "relu", "add", "mul_", "output"]
    with torch.inference_mode():
        for point in cuts.every_point:
            head, tail = cuts.split(point.name)
            assert torch.equal(tail(head(x)), network(x)), point.name


@torch.fx.wrap
def flipped_if_wide(x):
    return x.flip(-1) if x.shape[-1] > 3 else x


class Mended(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        return self.second(flipped_if_wide(self.first(x)))


def test_a_branch_in_a_marked_function_is_cut_around():
    network = Mended().eval()
    cuts = Cuts(network, torch.zeros(1, 6))
    x = torch.randn(2, 6)
    head, tail = cuts.split("flipped_if_wide")

    assert torch.equal(tail(head(x)), network(x))


def test_a_library_is_blamed_where_no_code_of_the_users_took_part():
    try:
        import_module("packaging.version").Version("none")
    except ValueError as error:
        innermost = error
        innermost.__traceback__ = innermost.__traceback__.tb_next  # without this test's own line

    assert "packaging/version.py:" in place_in_user_code(innermost)


def test_an_error_without_a_traceback_has_no_place():
    assert place_in_user_code(ValueError()) == ""
