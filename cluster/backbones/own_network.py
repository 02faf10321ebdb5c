"""A network of the user's own: ``package.module:function``, imported and called.

Owns the checks on what the function gives, before anything is built on it. Knows nothing of cuts or codecs.
"""

import os
import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import torch
from torch import Tensor, nn

from cluster.backbones.backbone import IMAGENET_FRAME, Backbone, FrameFormat, imagenet_labels
from cluster.backbones.user_code import place_in_user_code
from wire.errors import BackboneError

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
"""Names of folders; no separator, no hidden file, and short enough for every file system and the manifest."""


def is_own_network(spec: str) -> bool:
    """Tell whether ``spec`` has the form ``package.module:function``."""
    module, colon, function = spec.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_own_network(spec: str) -> Backbone:
    """Import ``package.module`` from the current folder or what is installed, and call ``function()``.

    The current folder stays on the import path, in front: the network's own code may import more when it runs.

    Raises:
        BackboneError: there is no such function, it fails, or it gives no network that maps frames to classes.
    """
    function = _find(spec)
    try:
        made = function()
    except (Exception, SystemExit) as error:  # their code may raise anything
        raise _blame(f"{spec}() raises", error, "it is called without arguments; mend it there") from error
    backbone = _as_backbone(made, spec)
    if not SAFE_NAME.fullmatch(backbone.name):
        raise BackboneError(
            f"{spec}() gives a backbone called {backbone.name!r}",
            mend="its name names folders too: use letters, digits, `.`, `_` and `-`",
        )
    return backbone


def _find(spec: str) -> Callable[[], Any]:
    module_name, function_name = spec.split(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise BackboneError(
                f"no module is called {error.name!r}",
                mend="a network of your own is looked for in the current folder and among what is installed; "
                "isthmus points --help lists those that are known by name",
            ) from error
        raise _blame(f"{module_name} cannot be imported:", error, "install what it needs") from error
    except (Exception, SystemExit) as error:  # their code may raise anything
        raise _blame(f"{module_name} cannot be imported:", error, "mend it there") from error
    function = getattr(module, function_name, None)
    if isinstance(function, nn.Module) or not callable(function):
        found = "has no" if function is None else f"holds a {type(function).__name__}, no function,"
        raise BackboneError(
            f"{module_name} {found} {function_name}",
            mend=f"write `def {function_name}():` there, without arguments, and return the network",
        )
    return function


def _blame(what: str, error: BaseException, mend: str) -> BackboneError:
    place = place_in_user_code(error)
    at = f", at {place}" if place else ""
    return BackboneError(f"{what} {type(error).__name__}: {error}{at}", mend=mend)


def _as_backbone(made: object, spec: str) -> Backbone:
    if isinstance(made, nn.Module):
        classes = _count_classes(made.cpu().eval(), IMAGENET_FRAME, spec)
        known = imagenet_labels()
        labels = known if classes == len(known) else tuple(f"class {number}" for number in range(classes))
        return Backbone(spec.replace(":", "-"), made, IMAGENET_FRAME, labels)
    if not isinstance(made, Backbone):
        raise BackboneError(
            f"{spec}() gives {type(made).__name__}, no network",
            mend="return a torch.nn.Module, or a cluster.backbones.registry.Backbone",
        )
    classes = _count_classes(made.module.cpu().eval(), made.frame, spec)
    if classes != len(made.labels):
        raise BackboneError(
            f"the network of {spec}() gives {classes} numbers a frame, and has {len(made.labels)} labels",
            mend="give one label a class, in their order",
        )
    return made


def _count_classes(module: nn.Module, frame: FrameFormat, spec: str) -> int:
    """Run the network on one grey frame."""
    shape = (3, frame.height, frame.width)
    try:
        with torch.no_grad():
            logits = module(torch.zeros(1, *shape))
    except Exception as error:  # their code may raise anything
        raise _blame(
            f"the network of {spec}() does not run on a frame of shape {shape}:", error,
            "if it takes other frames, return a cluster.backbones.registry.Backbone with its FrameFormat",
        ) from error  # fmt: skip
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != 1:
        gives = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise BackboneError(
            f"the network of {spec}() gives {gives} for one frame",
            mend="wrap it in a module that gives one vector of class logits a frame, (1, classes)",
        )
    return logits.shape[1]
