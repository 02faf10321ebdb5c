"""The policy: which options may be chosen from, and by whose way of deciding."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from wire.errors import SettingError, UnknownPoint
from wire.ids import PointName

INPUT_POINT: Final = PointName("input")

PolicyKind = Literal["auto", "deepcod", "jalad", "neurosurgeon", "fixed", "device-only", "cluster-only"]

_KINDS: Final[tuple[PolicyKind, ...]] = ("auto", "deepcod", "jalad", "neurosurgeon", "device-only", "cluster-only")


@dataclass(frozen=True, slots=True)
class Policy:
    """Which options there are to choose from; ``point`` and ``rate`` belong to ``fixed`` alone.

    ``auto`` is our own planner; ``deepcod``, ``jalad`` and ``neurosurgeon`` decide as those papers do.
    """

    kind: PolicyKind
    point: PointName | None = None
    rate: str | None = None

    def __str__(self) -> str:
        if self.kind != "fixed":
            return self.kind
        return f"fixed:{self.point}" + (f"/{self.rate}" if self.rate else "")

    @property
    def link_estimate(self) -> Literal["kalman", "harmonic", "last"]:
        """Name the estimate of the link that belongs to this way of deciding: the papers' own, or ours."""
        match self.kind:
            case "deepcod" | "jalad":
                return "harmonic"
            case "neurosurgeon":
                return "last"
            case _:
                return "kalman"

    @property
    def chooses(self) -> bool:
        """Whether all the options are there to choose from, so that what the cluster does not serve is left out."""
        return self.kind in ("auto", "deepcod", "jalad", "neurosurgeon")


def parse_policy(text: str) -> Policy:
    """Read the name of a policy, fixed:POINT or fixed:POINT/RATE; raises SettingError."""
    for kind in _KINDS:
        if text == kind:
            return Policy(kind)
    word, _, rest = text.partition(":")
    point, slash, rate = rest.partition("/")
    if word != "fixed" or not point or (slash and not rate):
        raise SettingError(
            f"there is no policy {text!r}", mend=f"use {', '.join(_KINDS)}, fixed:POINT or fixed:POINT/RATE"
        )
    return Policy("fixed", PointName(point), rate or None)


def check_policy(policy: Policy, choices: Iterable[tuple[PointName, str]]) -> None:
    """Refuse a policy that leaves nothing to choose from; ``choices`` are the (point, rate) of a bundle.

    Raises UnknownPoint, which lists what there is.
    """
    known = list(choices)
    point = INPUT_POINT if policy.kind == "cluster-only" else policy.point
    if point is None:
        return
    rates = [rate for name, rate in known if name == point]
    if not rates:
        points = ", ".join(dict.fromkeys(name for name, _ in known))
        raise UnknownPoint(f"the bundle has no partition point {point!r}", mend=f"choose one of {points}")
    if policy.rate is not None and policy.rate not in rates:
        raise UnknownPoint(f"the point {point!r} has no rate {policy.rate!r}", mend=f"choose one of {', '.join(rates)}")
