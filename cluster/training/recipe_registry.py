"""Which recipe trains which codec.

Owns the choice; imports a recipe only when it is needed.
"""

from importlib import import_module
from typing import Final

from torch import nn

from cluster.codecs.codec import Codec
from cluster.training.plan import TrainingPlan
from cluster.training.recipe import Recipe

_RECIPES: Final = {
    "bottlenet": ("distillation", "Distillation"),
    "deepcod": ("deepcod_recipe", "DeepCodRecipe"),
    "isthmus": ("task_transform_recipe", "TaskTransformRecipe"),
    "offload-autoencoder": ("distillation", "Reconstruction"),
}
"""By the codec's name: the module below this package, and its class. A codec that is not here is only calibrated."""


def build_recipe(codec: Codec, tail: nn.Module, plan: TrainingPlan) -> Recipe:
    """Give the recipe of a codec; its plain base for a codec that has nothing to learn."""
    if codec.name not in _RECIPES:
        return Recipe(codec, tail, plan)
    place, name = _RECIPES[codec.name]
    recipe: Recipe = getattr(import_module(f"cluster.training.{place}"), name)(codec, tail, plan)
    return recipe
