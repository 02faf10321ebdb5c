"""All that a comparison of policies came to: the runs of every kind, and what is worked out of them.

Owns the record and its JSON. Runs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.adapt_agreement import Agreement, agreement
from loadtests.adapt_bottlenet import RadioGain
from loadtests.adapt_drop import WITHIN_FRAMES, Falls
from loadtests.adapt_report import ORACLE, report
from loadtests.adapt_scenario import AdaptScenario
from loadtests.adapt_wanted import Verdict, drop_verdict, verdicts
from loadtests.frame_row import PolicyRun, Runs
from loadtests.frame_tables import FrameTables
from loadtests.table_sweep import option_name


@dataclass(frozen=True, slots=True)
class Loads:
    """How busy this machine was, as mean numbers of runnable processes over a minute, and its cores."""

    before: float
    after: float
    cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Runs of one kind over the traces, each with the best fixed option of the trace, POINT/RATE."""

    runs: Runs
    fixed: dict[str, str]
    window_s: float | None
    """From the trace's beginning on; None is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOutcome:
    """What was measured and computed; ``real`` is None where nothing was run for real."""

    scenario: AdaptScenario
    tables: FrameTables
    loads: Loads
    real: Played | None
    virtual: Played
    """The windows of the real run in virtual time, the oracle with them."""
    fallen_back: Played
    """The same, with the rivals answering alone as ours does."""
    full: Played
    """The whole traces in virtual time."""
    falls: tuple[Falls, ...]
    """Ours first."""
    gains: tuple[RadioGain, ...]

    @property
    def main(self) -> Played:
        """The runs that are judged: the real ones with the oracle beside them, or else the virtual ones."""
        if self.real is None:
            return self.virtual
        beside: dict[str, dict[str, PolicyRun]] = {
            trace: {**by_policy, ORACLE: self.virtual.runs[trace][ORACLE]}
            for trace, by_policy in self.real.runs.items()
        }
        return Played(runs=beside, fixed=self.real.fixed, window_s=self.real.window_s)

    def verdicts(self, played: Played) -> list[Verdict]:
        """Judge runs by all that is wanted."""
        return [*verdicts(report(played.runs)), drop_verdict(self._our_falls(), within=WITHIN_FRAMES)]

    def agreement(self) -> list[Agreement]:
        """Compare the virtual windows with the real ones; nothing without a real run."""
        return agreement(self.real.runs, self.virtual.runs) if self.real is not None else []

    def as_plain(self) -> dict[str, Any]:
        """Give all figures as JSON; the frames themselves are ``frames_as_plain``'s."""
        scenario = self.scenario
        return {
            "scenario": {
                "backbone": scenario.bundle.manifest.backbone,
                "bundle": scenario.bundle.digest,
                "clip": scenario.clip.name,
                "device": self.tables.device,
                "fps": scenario.fps,
                "deadline_ms": scenario.deadline_s * 1e3,
                "delay_ms": scenario.delay_s * 1e3,
                "most_drop": scenario.most_drop,
            },
            "machine": {"cores": self.loads.cores, "load_before": self.loads.before, "load_after": self.loads.after},
            "tables": _tables_as_plain(self.tables),
            "real": self._played_as_plain(self.main) if self.real is not None else None,
            "virtual": self._played_as_plain(self.virtual),
            "fallen_back": self._played_as_plain(self.fallen_back),
            "full": self._played_as_plain(self.full),
            "agreement": [each.as_plain() for each in self.agreement()],
            "falls": [each.as_plain() for each in self.falls],
            "bottlenet": [each.as_plain() for each in self.gains],
        }

    def frames_as_plain(self) -> dict[str, Any]:
        """Give every frame of the runs that are judged, by trace and policy."""
        return {
            trace: {policy: [row.as_plain() for row in run.rows] for policy, run in by_policy.items()}
            for trace, by_policy in self.main.runs.items()
        }

    def _played_as_plain(self, played: Played) -> dict[str, Any]:
        return {
            "window_s": played.window_s,
            "best_fixed": played.fixed,
            **report(played.runs).as_plain(),
            "wanted": [each.as_plain() for each in self.verdicts(played)],
        }

    def _our_falls(self) -> Sequence[int]:
        ours = self.falls[0].policy
        return [count for falls in self.falls if falls.policy == ours and not falls.still for count in falls.frames]


def _tables_as_plain(tables: FrameTables) -> dict[str, Any]:
    return {
        "own_ms": tables.own_s * 1e3,
        "overhead_ms": tables.overhead_s * 1e3,
        "reply_bytes": tables.reply_bytes,
        "options": [
            {
                "option": option_name(option),
                "device_ms": tables.device_s[row] * 1e3,
                "refine_ms": tables.refine_s[row] * 1e3,
                "cluster_ms": tables.cluster_s[row] * 1e3,
                "looks": float(tables.looks[row].mean()),
                "bytes": float(tables.sent_bytes[row].sum(axis=1).mean()),
                "drop": option.measured.top1_drop,
            }
            for row, option in enumerate(tables.options)
        ],
    }
