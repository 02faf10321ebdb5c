"""The codecs that Isthmus knows by name.

Owns the names; imports a codec's module only when it is built. At the point ``input`` there is one more, ``picture``,
with the rates raw, png, jpeg-q10 to jpeg-q95 and webp-q10 to webp-q95: the frame itself, coded without any graph, so
that there is no module to build here.
"""

from importlib import import_module
from typing import Final

from cluster.codecs.codec import Codec
from wire.errors import SettingError

_CLASSES: Final = {
    "isthmus": ("isthmus", "Isthmus", "IsthmusSetting"),
    "bottlenet": ("bottlenet", "BottleNet", "BottleNetSetting"),
    "deepcod": ("deepcod", "DeepCod", "DeepCodSetting"),
    "jalad": ("jalad", "Jalad", "JaladSetting"),
    "jointdnn": ("jointdnn", "JointDnn", "EightBits"),
    "offload": ("offload", "Offload", "Untouched"),
    "offload-interpolation": ("offload", "OffloadInterpolation", "InterpolationSetting"),
    "offload-lossy": ("offload", "OffloadLossy", "EightBits"),
    "offload-compressive": ("compressive", "Compressive", "CompressiveSetting"),
    "offload-autoencoder": ("autoencoder", "AutoEncoder", "AutoEncoderSetting"),
}
"""By name: the module below this package, its class, and the class of its settings."""
CODEC_NAMES: Final = tuple(_CLASSES)


def build_codec(name: str, setting: str, shape: tuple[int, ...]) -> Codec:
    """Build a codec, untrained, for tensors of ``shape`` (C, H, W), or (C,) where the codec takes vectors.

    Raises:
        SettingError: no codec has this name, the text is no setting of it, or it does not fit the tensor.
    """
    try:
        place, codec_class, setting_class = _CLASSES[name]
    except KeyError:
        raise SettingError(f"no codec is called {name!r}", mend=f"one of: {', '.join(CODEC_NAMES)}") from None
    module = import_module(f"cluster.codecs.{place}")
    codec: Codec = getattr(module, codec_class)(shape, getattr(module, setting_class).parse(setting))
    return codec
