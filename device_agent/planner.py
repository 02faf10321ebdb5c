"""The planner: a pure function from what is known now to the option for the next frame.

Owns the policy, the snapshot and the decision; reads no clock and does no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from wire.errors import SettingError, UnknownPoint
from wire.ids import OptionId, PointName

INPUT_POINT: Final = PointName("input")

PolicyKind = Literal["auto", "fixed", "device-only", "cluster-only"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Which options the planner may choose from; ``point`` and ``rate`` belong to ``fixed`` alone.

    ``most_drop`` is the share of right answers that may be lost beside the unsplit backbone (JALAD's Δα); it bounds the
    choice, and so not an option that is named with its rate.
    """

    kind: PolicyKind
    point: PointName | None = None
    rate: str | None = None
    most_drop: float = 1.0

    def __str__(self) -> str:
        if self.kind != "fixed":
            return self.kind
        return f"fixed:{self.point}" + (f"/{self.rate}" if self.rate else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One option as it looks now: seconds and bytes a frame; ``served`` is false where the cluster cannot.

    ``device_s`` covers head and entropy coding. The option that runs the whole network on the device
    has ``sends`` false, and neither bytes nor cluster time. ``looks`` is the expected number of exchanges:
    more than 1 where an uncertain answer is asked again. ``bytes_mean`` is of all of them, and ``cluster_s`` of one.
    """

    option_id: OptionId
    point: PointName
    rate: str
    sends: bool
    device_s: float
    bytes_mean: float
    cluster_s: float
    looks: float = 1.0
    served: bool = True
    drop: float = 0.0
    """Of top-1 accuracy, as a share, beside the unsplit backbone."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """What is known about a link that is up: bytes/s, and the seconds that a message of no bytes takes."""

    bandwidth_bytes_s: float
    base_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the planner looks at; ``link`` is None while the link is down."""

    candidates: tuple[Candidate, ...]
    link: LinkView | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predicted seconds of one frame, part by part."""

    device_s: float
    link_s: float
    cluster_s: float

    @property
    def total_s(self) -> float:
        """Device, link and cluster together, in seconds."""
        return self.device_s + self.link_s + self.cluster_s


@dataclass(frozen=True, slots=True)
class Decision:
    """The option chosen, what is expected of it, and why; ``link_down`` if the policy had to give way."""

    option_id: OptionId
    prediction: Prediction
    reasons: tuple[str, ...]
    link_down: bool = False


def parse_policy(text: str) -> Policy:
    """Read auto, device-only, cluster-only, fixed:POINT or fixed:POINT/RATE; raises SettingError."""
    match text:
        case "auto" | "device-only" | "cluster-only":
            return Policy(text)
    kind, _, rest = text.partition(":")
    point, slash, rate = rest.partition("/")
    if kind != "fixed" or not point or (slash and not rate):
        raise SettingError(
            f"there is no policy {text!r}",
            mend="use auto, device-only, cluster-only, fixed:POINT or fixed:POINT/RATE",
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


def predict(candidate: Candidate, link: LinkView | None) -> Prediction:
    """Predict one option: device + link + cluster, as DeepCOD's equation 14 has it.

    DeepCOD takes bytes / bandwidth for the link; we add ``base_s``, the round trip of a message of no
    bytes, which for codes of a few hundred bytes is most of the time on the link. Every further look costs
    that round trip and the time on the cluster once more.
    """
    if not candidate.sends or link is None:
        return Prediction(candidate.device_s, 0.0, 0.0)
    link_s = candidate.looks * link.base_s + candidate.bytes_mean / link.bandwidth_bytes_s
    return Prediction(candidate.device_s, link_s, candidate.looks * candidate.cluster_s)


def plan(snapshot: Snapshot) -> Decision:
    """Choose the option of the least predicted time among those that policy, link and cluster allow.

    There must be a candidate that does not send: it is what remains when the link is down.
    """
    local = next(candidate for candidate in snapshot.candidates if not candidate.sends)
    allowed = _allowed(snapshot, local)
    if snapshot.link is None:
        reasons = ("the link is down",) if any(c.sends for c in allowed) else (f"policy {snapshot.policy}",)
        return Decision(local.option_id, predict(local, None), reasons, len(allowed) != 1 or allowed[0].sends)
    predicted = [(predict(candidate, snapshot.link), candidate) for candidate in allowed]
    prediction, best = min(predicted, key=lambda pair: (pair[0].total_s, pair[1].option_id))
    return Decision(best.option_id, prediction, _reasons(snapshot, best, predicted))


def _allowed(snapshot: Snapshot, local: Candidate) -> list[Candidate]:
    policy = snapshot.policy
    match policy.kind:
        case "device-only":
            return [local]
        case "cluster-only":
            return [c for c in snapshot.candidates if c.point == INPUT_POINT]
        case "fixed":
            at_point = [c for c in snapshot.candidates if c.point == policy.point]
            if policy.rate is not None:
                return [c for c in at_point if c.rate == policy.rate]
            return _accurate(at_point, policy.most_drop)
        case "auto":
            return _accurate([c for c in snapshot.candidates if c.served or not c.sends], policy.most_drop)


def _accurate(candidates: list[Candidate], most_drop: float) -> list[Candidate]:
    """Keep those that lose no more than that, or else those that lose least."""
    bound = max(most_drop, min(candidate.drop for candidate in candidates))
    return [candidate for candidate in candidates if candidate.drop <= bound]


def _reasons(snapshot: Snapshot, best: Candidate, predicted: list[tuple[Prediction, Candidate]]) -> tuple[str, ...]:
    reasons = [f"policy {snapshot.policy}"]
    others = [(p.total_s, c) for p, c in predicted if c is not best]
    if others:
        next_s, second = min(others, key=lambda pair: (pair[0], pair[1].option_id))
        reasons.append(f"least of {len(predicted)}; next {second.point}/{second.rate} {next_s * 1e3:.1f} ms")
    most_drop = snapshot.policy.most_drop
    if best.drop > most_drop:
        reasons.append(f"loses {best.drop:.1%}: none of these is within {most_drop:.1%}")
    if snapshot.policy.kind == "auto":
        unserved = sum(candidate.sends and not candidate.served for candidate in snapshot.candidates)
        too_lossy = len(snapshot.candidates) - len(predicted) - unserved
        if unserved:
            reasons.append(f"{unserved} not served now")
        if too_lossy:
            reasons.append(f"{too_lossy} lose more than {most_drop:.1%}")
    return tuple(reasons)
