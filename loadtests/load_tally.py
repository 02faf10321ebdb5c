"""What Locust's own columns have no place for, counted by cut: bytes, misses, who answered and why not the cluster.

Owns the counts, which processes can send to each other and add up. Pure; imports no Locust.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class CutTally:
    """The frames that one option answered."""

    frames: int = 0
    late: int = 0
    bytes: int = 0
    by_device: int = 0
    fallbacks: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class LoadTally:
    """All frames, by the option that answered them; and what the background moved."""

    cuts: dict[str, CutTally] = field(default_factory=dict)
    background_bytes: Counter[str] = field(default_factory=Counter)
    """By link."""

    def note_frame(self, option: str, *, where: str, in_time: bool, moved_bytes: int, fallback: str | None) -> None:
        """Count one frame."""
        tally = self.cuts.setdefault(option, CutTally())
        tally.frames += 1
        tally.late += not in_time
        tally.bytes += moved_bytes
        tally.by_device += where == "device"
        if fallback is not None:
            tally.fallbacks[fallback] += 1

    def rows(self) -> list[dict[str, Any]]:
        """Give a row for each cut, the most used first, as the web page's table takes them."""
        total = sum(tally.frames for tally in self.cuts.values())
        ordered = sorted(self.cuts.items(), key=lambda item: -item[1].frames)
        return [
            {
                "name": option,
                "safeName": option,
                "share": f"{tally.frames / total:.1%}",
                "frames": tally.frames,
                "bytesAFrame": round(tally.bytes / tally.frames),
                "missed": tally.late,
                "byDevice": tally.by_device,
                "fallbacks": ", ".join(f"{reason} {count}" for reason, count in tally.fallbacks.most_common()) or "–",
            }
            for option, tally in ordered
        ]

    def take(self) -> Self:
        """Give what was counted, and begin again from nothing."""
        taken = type(self)(self.cuts, self.background_bytes)
        self.cuts, self.background_bytes = {}, Counter()
        return taken

    def add(self, other: "LoadTally") -> None:
        """Add what another process counted."""
        for option, theirs in other.cuts.items():
            ours = self.cuts.setdefault(option, CutTally())
            ours.frames += theirs.frames
            ours.late += theirs.late
            ours.bytes += theirs.bytes
            ours.by_device += theirs.by_device
            ours.fallbacks.update(theirs.fallbacks)
        self.background_bytes.update(other.background_bytes)

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        cuts = {
            option: {"frames": t.frames, "late": t.late, "bytes": t.bytes, "by_device": t.by_device,
                     "fallbacks": dict(t.fallbacks)}
            for option, t in self.cuts.items()
        }  # fmt: skip
        return {"cuts": cuts, "background_bytes": dict(self.background_bytes)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Read what ``as_plain`` gave."""
        cuts = {
            option: CutTally(t["frames"], t["late"], t["bytes"], t["by_device"], Counter(t["fallbacks"]))
            for option, t in plain["cuts"].items()
        }
        return cls(cuts, Counter(plain["background_bytes"]))
