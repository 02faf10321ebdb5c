"""Every backbone by name, random and for small frames, cut at every point that it offers."""

import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from cluster.backbones.alexnet import alexnet
from cluster.backbones.efficientnet_lite import LITE_SCALES, EfficientNetLite
from cluster.backbones.mobilenet_v2 import mobilenet_v2
from cluster.backbones.registry import BACKBONE_NAMES
from cluster.backbones.resnet import resnet18, resnet50, resnet101
from cluster.backbones.state_dict import fill_randomly
from cluster.backbones.vgg import vgg16, vgg19
from cluster.cli.main import isthmus
from cluster.points import Cuts

SIDE = 64
CLASSES = 5
HIDDEN = 32
"""The classifiers of VGG and AlexNet have 100 million weights and more; narrower ones are cut in the same places."""


def lite(variant):
    return EfficientNetLite(replace(LITE_SCALES[variant], resolution=SIDE), classes=CLASSES)


# How each is built, how many points it offers, and some of them.
BACKBONES = {
    "efficientnet-lite0": (lambda: lite(0), 33, ["act0", "blocks.4", "blocks", "dropout"]),
    "efficientnet-lite1": (lambda: lite(1), 38, ["act0", "blocks.4", "blocks", "dropout"]),
    "efficientnet-lite2": (lambda: lite(2), 38, ["act0", "blocks.4", "blocks", "dropout"]),
    "resnet18": (lambda: resnet18(CLASSES), 11, ["maxpool", "layer1.0", "layer2", "layer4.0", "flatten"]),
    "resnet50": (lambda: resnet50(CLASSES), 19, ["maxpool", "layer1.0", "layer2", "layer4.0", "flatten"]),
    "resnet101": (lambda: resnet101(CLASSES), 36, ["maxpool", "layer1.0", "layer3.21", "layer4.0", "flatten"]),
    "vgg16": (lambda: vgg16(CLASSES, hidden=HIDDEN), 17, ["features.4", "features.16", "features", "classifier.2"]),
    "vgg19": (lambda: vgg19(CLASSES, hidden=HIDDEN), 20, ["features.4", "features.18", "features", "classifier.2"]),
    "mobilenet_v2": (lambda: mobilenet_v2(CLASSES), 34, ["features.0", "features.1", "features.17", "classifier.0"]),
    "alexnet": (lambda: alexnet(CLASSES, hidden=HIDDEN), 9, ["features.2", "features.5", "features", "classifier.3"]),
}


@pytest.fixture(scope="module", params=BACKBONE_NAMES)
def backbone(request):
    build, count, some = BACKBONES[request.param]
    with torch.device("meta"):
        network = build()
    fill_randomly(network)
    return network.eval(), Cuts(network, torch.zeros(1, 3, SIDE, SIDE)), count, some


def test_every_backbone_offers_points_from_the_input_to_the_output(backbone):
    _, cuts, count, some = backbone
    offered = [point.name for point in cuts.points]

    assert (offered[0], offered[-1]) == ("input", "output")
    assert (len(offered), [name for name in some if name in offered]) == (count, some)


def test_head_and_tail_give_the_answer_of_every_backbone_bit_for_bit_at_every_offered_point(backbone):
    network, cuts, _, _ = backbone
    frame = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = network(frame)
        assert whole.isfinite().all()
        assert whole.std() > 0
        for point in cuts.points:
            head, tail = cuts.split(point.name)
            features = head(frame)
            assert features.shape[1:] == point.shape
            assert features.isfinite().all()
            assert features.half().isfinite().all()  # training keeps them as float16
            assert torch.equal(tail(features), whole), point.name


def test_the_points_of_a_network_by_name_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(isthmus, ["points", "resnet18:random"], catch_exceptions=False)
    plain = CliRunner().invoke(isthmus, ["points", "resnet18:random", "--json"], catch_exceptions=False)

    assert shown.stdout.startswith("resnet18-random: 11 partition points")
    assert "128×28×28" in shown.stdout
    assert json.loads(plain.stdout)["backbone"] == "resnet18-random"


def test_the_help_names_every_backbone():
    said = CliRunner().invoke(isthmus, ["points", "--help"]).stdout

    assert [name for name in BACKBONE_NAMES if name not in said] == []
    assert "package.module:function" in said
