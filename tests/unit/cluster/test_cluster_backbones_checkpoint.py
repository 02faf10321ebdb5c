from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cluster.backbones.registry import BACKBONE_NAMES, load_backbone
from cluster.backbones.state_dict import fit, read_state_dict
from wire.errors import BackboneError, CheckpointError

NAME = "mobilenet_v2"
LAST = "classifier.1.bias"


class Small(nn.Module):
    """Two layers with few weights."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)


class Stranger:
    """Something that no checkpoint needs."""


@pytest.fixture(scope="module")
def random():
    return load_backbone(f"{NAME}:random")


@pytest.fixture(scope="module")
def weights(random):
    return {**random.module.state_dict(), LAST: torch.arange(1000.0)}


def test_the_same_random_weights_come_every_time(random):
    again = load_backbone(f"{NAME}:random").module.state_dict()

    assert all(torch.equal(tensor, again[name]) for name, tensor in random.module.state_dict().items())


def test_random_weights_say_so_in_the_name(random):
    assert random.name == "mobilenet_v2-random"


def test_random_weights_let_a_frame_through(random):
    frame = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = random.module(frame)

    assert first.isfinite().all()
    assert (first - second).abs().max() > 1e-3


def test_a_backbone_is_in_evaluation_mode(random):
    assert not any(module.training for module in random.module.modules())


@pytest.mark.parametrize("name", [name for name in BACKBONE_NAMES if "lite" not in name])
def test_a_network_without_weights_is_never_silently_random(name):
    with pytest.raises(CheckpointError, match=f"{name} comes without weights") as caught:
        load_backbone(name)

    assert f"{name}:/path/to/{name}.pth" in caught.value.mend
    assert f"{name}:random" in caught.value.mend


def test_a_colon_without_a_path_is_no_checkpoint():
    with pytest.raises(CheckpointError, match="comes without weights"):
        load_backbone(f"{NAME}:")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".old-format", ".half"])
def test_a_state_dict_is_loaded_from_any_of_its_files(weights, tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    if suffix == ".safetensors":
        save_file(weights, path)
    elif suffix == ".half":
        torch.save({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}, path)  # fmt: skip # noqa: E501
    else:
        torch.save(OrderedDict(weights), path, _use_new_zipfile_serialization=suffix != ".old-format")

    mine = load_backbone(f"{NAME}:{path}")

    assert mine.name == NAME
    assert mine.module.classifier[1].bias.tolist() == list(range(1000))
    assert {parameter.dtype for parameter in mine.module.parameters()} == {torch.float32}


def test_a_path_may_start_at_home(weights, tmp_path, monkeypatch):
    torch.save(weights, tmp_path / "mine.pth")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert load_backbone(f"{NAME}:~/mine.pth").name == NAME


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: {"state_dict": tensors, "epoch": 3},
        lambda tensors: {"model": tensors, "optimizer": {"lr": 0.1}},
        lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()},
        lambda tensors: {"state_dict": {f"module.{name}": tensor for name, tensor in tensors.items()}},
    ],
)
def test_what_training_scripts_put_around_a_state_dict_is_taken_off(tmp_path, wrap):
    tensors = {"bias": torch.ones(2)}
    torch.save(wrap(tensors), tmp_path / "trained.pth")

    assert list(read_state_dict(tmp_path / "trained.pth")) == ["bias"]


def test_a_checkpoint_from_before_batches_were_counted_fits():
    tensors = {name: torch.ones_like(tensor) for name, tensor in Small().state_dict().items() if "num_" not in name}
    with torch.device("meta"):
        network = Small()
    fit(network, tensors, source="old.pth", name="small")

    assert network.bn.num_batches_tracked.device.type == "cpu"
    assert network.bn.running_var.tolist() == [1.0] * 4


def test_a_checkpoint_that_does_not_fit_says_which_tensors_and_both_shapes():
    tensors = {**Small().state_dict(), "conv.weight": torch.zeros(4, 1, 3, 3), "head.bias": torch.zeros(1)}
    del tensors["bn.bias"]
    network = Small()
    before = network.conv.weight.clone()

    with pytest.raises(CheckpointError) as caught:
        fit(network, tensors, source="mine.pth", name="small")

    assert caught.value.message == (
        "mine.pth does not fit small: of its tensors 1 missing (bn.bias); 1 unexpected (head.bias); "
        "1 of another shape (conv.weight is 4×1×3×3, not 4×3×3×3)"
    )
    assert "a checkpoint of small" in caught.value.mend
    assert torch.equal(network.conv.weight, before)


def test_of_many_differences_the_first_few_are_named(tmp_path):
    torch.save(load_backbone(f"{NAME}:random").module.state_dict(), tmp_path / "other.pth")

    with pytest.raises(CheckpointError) as caught:
        load_backbone(f"resnet18:{tmp_path / 'other.pth'}")

    # Every name of ResNet-18 is missing but its 20 counters of batches.
    assert "102 missing (conv1.weight, bn1.weight, bn1.bias, …)" in caught.value.message
    assert "314 unexpected (features.0.0.weight, features.0.1.weight, features.0.1.bias, …)" in caught.value.message
    assert len(caught.value.message) < 500


def test_a_checkpoint_that_is_not_there_is_named():
    with pytest.raises(CheckpointError, match=r"there is no checkpoint nowhere/mine\.pth"):
        load_backbone(f"{NAME}:nowhere/mine.pth")


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors", "empty.pth", "empty.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if "empty" in name else b"\x80\x02 these are no tensors" * 9)

    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint") as caught:
        load_backbone(f"{NAME}:{tmp_path / name}")

    assert "state_dict()" in caught.value.mend


@pytest.mark.parametrize("content", [Small(), {"weights": Stranger()}])
def test_a_pickle_of_anything_but_tensors_is_never_unpickled(tmp_path, content):
    torch.save(content, tmp_path / "whole.pth")

    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint") as caught:
        load_backbone(f"{NAME}:{tmp_path / 'whole.pth'}")

    assert "torch.save(network.state_dict(), path)" in caught.value.mend
    assert "trust" not in caught.value.message


@pytest.mark.parametrize("content", [torch.ones(3), {"epoch": 3}, [1, 2]])
def test_tensors_without_names_are_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")

    with pytest.raises(CheckpointError, match="something else than named tensors"):
        load_backbone(f"{NAME}:{tmp_path / 'odd.pth'}")


@pytest.mark.parametrize("spec", ["resnet51", "resnet51:weights/mine.pth", "resnet 50:random", ":random", "a..b:c", ""])
def test_what_is_neither_a_known_name_nor_a_function_is_refused_with_what_there_is(spec):
    with pytest.raises(BackboneError, match="no backbone is called") as caught:
        load_backbone(spec)

    assert all(name in caught.value.mend for name in BACKBONE_NAMES)
    assert "package.module:function" in caught.value.mend
