import sys

import pytest
import torch

from cluster.backbones.registry import imagenet_labels, load_backbone
from wire.errors import BackboneError

NETWORK = """
import torch
from torch import nn
from cluster.backbones.registry import Backbone, FrameFormat


class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))

SMALL = FrameFormat(32, 32, 32, (0.0,) * 3, (1.0,) * 3)

"""
FIRST = NETWORK.count("\n") + 1
"""The number of the first line that a test writes behind it."""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module of the user's into the current folder; gives its name, which no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def write(body, name="their_net"):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NETWORK + body, encoding="utf-8")
        return name

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(spec):
    with pytest.raises(BackboneError) as caught:
        load_backbone(spec)
    assert caught.value.mend
    return caught.value


def test_a_function_in_the_current_folder_gives_a_backbone_with_imagenets_frames(write):
    own = load_backbone(write("def build():\n    return Net()\n") + ":build")

    assert own.name == "their_net-build"
    assert (own.frame.height, own.frame.width, own.frame.resize) == (224, 224, 256)
    assert own.frame.mean == (123.675, 116.28, 103.53)
    assert own.labels == ("class 0", "class 1", "class 2", "class 3", "class 4")
    assert not own.module.training


def test_a_network_of_a_thousand_classes_gets_imagenets_labels(write):
    assert load_backbone(write("def build():\n    return Net(1000)\n") + ":build").labels == imagenet_labels()


def test_a_class_is_a_function_too(write):
    assert load_backbone(write("") + ":Net").name == "their_net-Net"


def test_a_module_may_lie_in_a_package_and_import_its_neighbour(write):
    write("WIDTH = 7\n", "their_package.sizes")
    name = write(
        "def build():\n    from their_package.sizes import WIDTH\n    return Net(WIDTH)\n", "their_package.nets"
    )
    own = load_backbone(f"{name}:build")

    assert own.name == "their_package.nets-build"
    assert len(own.labels) == 7


def test_a_function_may_give_a_whole_backbone(write):
    own = load_backbone(
        write(
            "def build():\n"
            "    frame = FrameFormat(32, 48, 48, mean=(0.0,) * 3, scale=(255.0,) * 3)\n"
            "    return Backbone('birds-v2', Net(2), frame, ('jay', 'wren'))\n"
        )
        + ":build"
    )

    assert own.name == "birds-v2"
    assert own.example().shape == (1, 3, 32, 48)
    assert own.labels == ("jay", "wren")
    assert not own.module.training


def test_a_known_name_before_the_colon_wins_over_a_module_of_that_name(write):
    write("def random():\n    return Net()\n", "mobilenet_v2")

    assert load_backbone("mobilenet_v2:random").name == "mobilenet_v2-random"


def test_a_module_that_is_not_there_is_refused_with_where_it_was_looked_for(write):
    error = refused("nobodys_net:build")

    assert error.message == "no module is called 'nobodys_net'"
    assert "current folder" in error.mend
    assert "isthmus points --help" in error.mend


def test_a_module_whose_own_import_fails_is_refused_with_the_line(write):
    error = refused(write("import nobodys_library\n") + ":build")

    assert f"No module named 'nobodys_library', at their_net.py:{FIRST} " in error.message
    assert "(`import nobodys_library`)" in error.message


def test_a_module_that_is_no_python_is_refused_with_the_line(write):
    error = refused(write("def build(:\n    return Net()\n") + ":build")

    assert "SyntaxError" in error.message
    assert f"their_net.py:{FIRST} (`def build(:`)" in error.message


def test_a_module_that_ends_the_program_is_refused(write):
    assert f"SystemExit: 3, at their_net.py:{FIRST}" in refused(write("raise SystemExit(3)\n") + ":build").message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "their_net has no build"),
        ("build = 7\n", "their_net holds a int, no function, build"),
        ("build = Net()\n", "their_net holds a Net, no function, build"),
    ],
)
def test_a_function_that_is_not_there_is_refused_with_how_to_write_it(write, body, says):
    error = refused(write(body) + ":build")

    assert error.message == says
    assert "def build():" in error.mend


def test_a_function_that_raises_is_refused_with_its_innermost_line(write):
    body = "widths = {}\ndef width():\n    return widths['width']\n\n\ndef build():\n    return Net(width())\n"
    error = refused(write(body) + ":build")

    assert error.message.startswith("their_net:build() raises KeyError: 'width', at their_net.py:")
    assert error.message.endswith(f":{FIRST + 2} in width (`return widths['width']`)")
    assert isinstance(error.__cause__, KeyError)


def test_a_function_that_wants_arguments_is_told_that_it_gets_none(write):
    error = refused(write("def build(classes):\n    return Net(classes)\n") + ":build")

    assert "missing 1 required positional argument: 'classes'" in error.message
    assert "without arguments" in error.mend


@pytest.mark.parametrize(
    ("gives", "kind"), [("None", "NoneType"), ("Net", "type"), ("Net().state_dict()", "OrderedDict")]
)
def test_a_function_that_gives_no_network_is_refused(write, gives, kind):
    assert f"gives {kind}, no network" in refused(write(f"def build():\n    return {gives}\n") + ":build").message


def test_a_network_for_other_frames_is_refused_with_its_line_and_how_to_say_so(write):
    body = (
        "class Narrow(Net):\n    def forward(self, x):\n        return self.conv(x[:, :1])\n\n\n"
        "def build():\n    return Narrow()\n"
    )
    error = refused(write(body) + ":build")

    assert "does not run on a frame of shape (3, 224, 224): RuntimeError" in error.message
    assert f"at their_net.py:{FIRST + 2} in forward" in error.message
    assert "FrameFormat" in error.mend


@pytest.mark.parametrize(
    ("forward", "says"), [("x", r"a tensor of shape (1, 3, 224, 224)"), ("[x]", "list"), ("x.sum()", "shape ()")]
)
def test_a_network_that_gives_no_vector_of_classes_is_refused(write, forward, says):
    body = f"class Odd(nn.Module):\n    def forward(self, x):\n        return {forward}\n"
    error = refused(write(body) + ":Odd")

    assert says in error.message
    assert "(1, classes)" in error.mend


def test_a_backbone_with_another_number_of_labels_than_classes_is_refused(write):
    body = "def build():\n    return Backbone('b', Net(3), SMALL, ('one', 'two'))\n"

    assert "gives 3 numbers a frame, and has 2 labels" in refused(write(body) + ":build").message


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "two words", "x" * 101])
def test_a_name_that_cannot_name_a_folder_is_refused(write, name):
    body = f"def build():\n    return Backbone({name!r}, Net(1), SMALL, ('it',))\n"

    assert "names folders" in refused(write(body) + ":build").mend


def test_an_installed_module_need_not_lie_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    assert (
        load_backbone("cluster.backbones.mobilenet_v2:mobilenet_v2").name
        == "cluster.backbones.mobilenet_v2-mobilenet_v2"
    )


def test_the_weights_of_an_own_network_are_untouched(write):
    own = load_backbone(
        write("def build():\n    net = Net()\n    nn.init.ones_(net.fc.bias)\n    return net\n") + ":build"
    )

    assert torch.equal(own.module.fc.bias, torch.ones(5))
