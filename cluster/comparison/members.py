"""Which codecs are compared: ours, the trained ones of the papers, and those that only look at some pictures.

Owns the choice. Trains and measures nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.bundles.input_coding import InputCoding
from cluster.codecs.registry import build_codec
from cluster.codecs.weights import CodecKey, shipped_keys
from cluster.points import Cuts
from wire.errors import CheckpointError, SettingError

OURS: Final = "isthmus"
PAPERS: Final = ("bottlenet", "deepcod", "jalad", "jointdnn")
SENSING: Final = "offload-compressive"
"""The one whose decoder iterates, and takes far longer than any other."""

QUALITIES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
INPUTS: Final = (
    InputCoding("raw"),
    InputCoding("png"),
    *(InputCoding("jpeg", quality) for quality in QUALITIES),
    *(InputCoding("webp", quality) for quality in QUALITIES),
)

_AT_EVERY_POINT: Final = (*(("jalad", f"c{bits}") for bits in range(1, 9)), ("jointdnn", "8bit"))
_AT_THE_FIRST: Final = (
    ("offload", "float32"),
    ("offload-interpolation", "s2"),
    ("offload-interpolation", "s4"),
    ("offload-lossy", "8bit"),
    (SENSING, "m25"),
    (SENSING, "m50"),
)
_BEHIND_AN_ACTIVATION: Final = (("jointdnn", "8bit"),)
_TRAINED: Final = {
    "efficientnet-lite0": (
        ("blocks.4", "bottlenet", "c24-s2"),
        ("blocks.4", "bottlenet", "c24-s2-q75"),
        ("blocks.4", "deepcod", "c12-s2-l16"),
        ("blocks.4", "offload-autoencoder", "c12-s2"),
        ("blocks.10", "bottlenet", "c48-s2"),
        ("blocks.14", "bottlenet", "c48-s1"),
    )
}
"""What has to be trained for the comparison to be whole, by backbone."""


@dataclass(frozen=True, slots=True)
class Members:
    """The codecs of the comparison, by where their weights come from."""

    ours: tuple[CodecKey, ...]
    """Those that ship, with whatever else ships beside them."""
    rivals: tuple[CodecKey, ...]
    """Trained to be compared with."""
    calibrated: tuple[CodecKey, ...]
    """To be calibrated for the comparison."""
    missing: tuple[CodecKey, ...]
    """Belong to it, and are trained nowhere."""

    @property
    def points(self) -> tuple[str, ...]:
        """The points of ours, the shallowest first."""
        return tuple(dict.fromkeys(key.point for key in self.ours if key.codec == OURS))


def find_members(cuts: Cuts, backbone: str, *, weights: Path, rivals: Path, activation: str | None) -> Members:
    """Find what ships and what was trained, and choose what is calibrated at the points of ours.

    ``activation`` is a point behind an activation, if the points of ours have none: JointDNN is looked at there too.

    Raises:
        CheckpointError: nothing of ours is trained.
        UnknownPoint: a codec is of a point that the backbone does not have.
    """
    ours = tuple(sorted(shipped_keys(weights, backbone), key=lambda key: cuts.point(key.point).head_macs))
    points = list(dict.fromkeys(key.point for key in ours if key.codec == OURS))
    if not points:
        raise CheckpointError(f"no codec isthmus of {backbone} is trained in {weights}", mend="isthmus train --help")
    trained = tuple(shipped_keys(rivals, backbone)) if any((rivals / backbone).glob("*.safetensors")) else ()
    wanted = [
        *_keys(backbone, points[:1], _AT_THE_FIRST),
        *_keys(backbone, points, _AT_EVERY_POINT),
        *_keys(backbone, [activation] if activation else [], _BEHIND_AN_ACTIVATION),
    ]
    expected = (CodecKey(backbone, *names) for names in _TRAINED.get(backbone, ()))
    missing = tuple(key for key in expected if key not in ours + trained)
    return Members(ours, trained, tuple(key for key in wanted if _fits(cuts, key)), missing)


def _keys(backbone: str, points: Sequence[str], codecs: Iterable[tuple[str, str]]) -> Iterator[CodecKey]:
    codecs = list(codecs)
    return (CodecKey(backbone, point, *codec) for point in points for codec in codecs)


def _fits(cuts: Cuts, key: CodecKey) -> bool:
    try:
        build_codec(key.codec, key.setting, cuts.point(key.point).shape)
    except SettingError:
        return False
    return True
