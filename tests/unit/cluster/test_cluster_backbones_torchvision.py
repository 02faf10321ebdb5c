"""The networks that take torchvision's checkpoints, against what is known of torchvision's.

The digests are of every name and shape in the state dicts of torchvision 0.29.2, with which ours were compared;
the parameter counts are those in its documentation.
"""

from hashlib import sha256

import pytest
import torch

from cluster.backbones.alexnet import alexnet
from cluster.backbones.mobilenet_v2 import mobilenet_v2
from cluster.backbones.resnet import resnet18, resnet50, resnet101
from cluster.backbones.vgg import vgg16, vgg19

KNOWN = [
    (resnet18, 11_689_512, "f0e35161599236f315cd146cd4248bf0732a9445b57a806ea3787184467b15b4"),
    (resnet50, 25_557_032, "fe1d335c3c7786ffda005558842d02e739fc8008f65d509710f49da78719aa43"),
    (resnet101, 44_549_160, "b6755676a9dbfb7d2416e0393ea27402a774a31280fddd82036f9860e6b32f42"),
    (vgg16, 138_357_544, "e36b43eb356035da8773e7fcc78b2535bbbf866e196790b7e11f3a547e89dfc3"),
    (vgg19, 143_667_240, "fafd9d516f77ba5559e8c4fde3a02a63df4ffbfe8b07b9c8b2b9367afa01a6ec"),
    (mobilenet_v2, 3_504_872, "2a196dc04125b8ce696f40d01e523bf91e7c3f4cfaf09ca3f4cdce41e0302d59"),
    (alexnet, 61_100_840, "9b204a0e6319cabaa511a49db16c85e934b970be356cc92e9f36779b55084021"),
]


def on_meta(build):
    with torch.device("meta"):
        return build()


@pytest.mark.parametrize(("build", "parameters", "digest"), KNOWN)
def test_every_name_and_shape_is_torchvisions(build, parameters, digest):
    network = on_meta(build)
    lines = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in sorted(network.state_dict().items())]

    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert sha256("\n".join(lines).encode()).hexdigest() == digest


@pytest.mark.parametrize(
    ("build", "name", "shape"),
    [
        (resnet18, "layer2.0.downsample.0.weight", (128, 64, 1, 1)),
        (resnet18, "layer4.1.bn2.running_var", (512,)),
        (resnet50, "layer1.0.downsample.0.weight", (256, 64, 1, 1)),
        (resnet50, "layer1.0.conv3.weight", (256, 64, 1, 1)),
        (resnet50, "fc.weight", (1000, 2048)),
        (resnet101, "layer3.22.bn3.num_batches_tracked", ()),
        (vgg16, "features.28.weight", (512, 512, 3, 3)),
        (vgg16, "classifier.0.weight", (4096, 25088)),
        (vgg19, "features.34.bias", (512,)),
        (vgg19, "classifier.6.bias", (1000,)),
        (mobilenet_v2, "features.0.0.weight", (32, 3, 3, 3)),
        (mobilenet_v2, "features.1.conv.1.weight", (16, 32, 1, 1)),
        (mobilenet_v2, "features.17.conv.3.running_mean", (320,)),
        (mobilenet_v2, "features.18.1.num_batches_tracked", ()),
        (mobilenet_v2, "classifier.1.weight", (1000, 1280)),
        (alexnet, "features.10.weight", (256, 256, 3, 3)),
        (alexnet, "classifier.1.weight", (4096, 9216)),
    ],
)
def test_a_tensor_that_torchvision_has_is_there_in_its_shape(build, name, shape):
    assert on_meta(build).state_dict()[name].shape == shape


@pytest.mark.parametrize(
    ("build", "gigamacs"),
    [(resnet18, 1.81), (resnet50, 4.09), (resnet101, 7.80), (vgg16, 15.47), (vgg19, 19.63), (mobilenet_v2, 0.30),
     (alexnet, 0.71)],
)  # fmt: skip
def test_the_work_of_a_frame_is_what_torchvision_publishes(build, gigamacs):
    from torch.utils.flop_counter import FlopCounterMode

    network = on_meta(build).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 224, 224, device="meta"))

    assert counter.get_total_flops() / 2e9 == pytest.approx(gigamacs, rel=0.01)


@pytest.mark.parametrize("build", [build for build, _, _ in KNOWN])
def test_another_number_of_classes_changes_the_last_layer_alone(build):
    usual, ten = on_meta(build).state_dict(), on_meta(lambda: build(classes=10)).state_dict()
    differing = [name for name in usual if usual[name].shape != ten[name].shape]

    assert usual.keys() == ten.keys()
    assert [name.rpartition(".")[2] for name in differing] == ["weight", "bias"]
    assert ten[differing[0]].shape[0] == 10
