"""What came of fuzzing one target: counts, findings, memory. Owns the records and how they are written down."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, Self

RECORD_NAME: Final = "record.json"
FINDINGS_NAME: Final = "findings"
WARM: Final = (0.25, 0.35)
"""The share of its inputs after which a process is warm: caches are filled and every path was taken once."""
LAST: Final = 0.9

FindingKind = Literal["exception", "crash", "hang", "memory"]


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that did what no input may do; ``says`` is the traceback or what else is known."""

    target: str
    kind: FindingKind
    says: str
    input_file: str


@dataclass(slots=True)
class Record:
    """What one process that ran a target tells of it."""

    inputs: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    rss_bytes: list[int] = field(default_factory=list)
    """Sampled evenly over the inputs."""
    slowest_s: float = 0.0
    guided: bool = False

    @property
    def growth(self) -> float | None:
        """By what share of the memory of a warm process it grew until the end; None for a run too short to tell."""
        count = len(self.rss_bytes)
        warm = self.rss_bytes[int(count * WARM[0]) : int(count * WARM[1])]
        last = self.rss_bytes[int(count * LAST) :]
        return median(last) / median(warm) - 1 if warm and last else None

    def save(self, folder: Path) -> None:
        """Write it into a folder, in one go."""
        plain = {**asdict(self), "outcomes": dict(self.outcomes)}
        written = folder / f"{RECORD_NAME}.new"
        written.write_text(json.dumps(plain), encoding="utf-8")
        written.replace(folder / RECORD_NAME)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what a process left in a folder; None if it left nothing."""
        path = folder / RECORD_NAME
        if not path.exists():
            return None
        plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**plain, "outcomes": Counter(plain["outcomes"])})


def keep_finding(folder: Path, target: str, kind: FindingKind, says: str, data: bytes) -> Finding:
    """Write an input and what it did into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{kind}-{sha256(data).hexdigest()[:16]}"
    (folder / name).write_bytes(data)
    finding = Finding(target, kind, says, str(folder / name))
    (folder / f"{name}.json").write_text(json.dumps(asdict(finding), indent=1), encoding="utf-8")
    return finding


def findings_in(folder: Path) -> list[Finding]:
    """Read what was found into a folder."""
    return [Finding(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
