"""All that a crowd's runs came to, with our damping and without it: figures of each step, and what was wanted.

Owns the record, its JSON, and how the steps of the load are written. Runs nothing.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from loadtests.adapt_outcome import Loads
from loadtests.crowd_figures import LEAST_OFFERED, SWING_WANTED, StepFigures, crowd_figures, smoothed, swing
from loadtests.crowd_simulation import SAMPLE_S, Crowd, CrowdSamples, LoadStep
from wire.errors import SettingError

CALM: Final = "damped"
RESTLESS: Final = "undamped"
_FORM: Final = 'write steps as SECONDS:PERCENT of what the servers can answer, such as "20:0,40:90,30:0"'


def parse_steps(text: str) -> tuple[LoadStep, ...]:
    """Read steps of the load, each SECONDS:PERCENT of others; raises SettingError."""
    steps = []
    for part in text.split(","):
        seconds, _, percent = part.partition(":")
        try:
            step = LoadStep(float(seconds), float(percent) / 100)
        except ValueError as error:
            raise SettingError(f"{part!r} is no step of a load", mend=_FORM) from error
        if not (2 * SAMPLE_S <= step.seconds < float("inf") and 0 <= step.background_share < float("inf")):
            raise SettingError(f"{part!r} is too short, or no load", mend=_FORM)
        steps.append(step)
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step: its figures, and three that are of other seconds or other frames than these."""

    figures: StepFigures
    latency_p95_s: float
    """Of the agents' means of each second, in the second half of the step."""
    swing_of_all: float
    """As ``figures.swing``, of the sum of all points alone."""
    overshoot: float
    """How far the offered load of one second goes beyond the mean that it comes to, as a share of that mean."""

    @property
    def kept(self) -> bool:
        """Whether the load of all points settled, swings by no more than is wanted, and no point goes on swinging."""
        figures = self.figures
        return figures.settle_s is not None and self.swing_of_all < SWING_WANTED and not figures.oscillates

    def as_plain(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            **asdict(self.figures), "latency_p95_s": self.latency_p95_s, "swing_of_all": self.swing_of_all,
            "overshoot": self.overshoot,
            "kept": self.kept,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdPlayed:
    """The same crowd by ``CALM`` and by ``RESTLESS``; ``others`` says what the others sent and what came of it."""

    crowd: Crowd
    samples: dict[str, CrowdSamples]
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    def reports(self, way: str) -> tuple[StepReport, ...]:
        """Give every step of one way."""
        samples, reports, before = self.samples[way], [], 0.0
        for step, figures in zip(self.crowd.steps, crowd_figures(self.crowd, samples), strict=True):
            begin, end = (round(at_s / SAMPLE_S) for at_s in (figures.begins_s, figures.begins_s + step.seconds))
            total = samples.offered[begin:end].sum(axis=1)
            latency_s = samples.latency_s[(begin + end) // 2 : end]
            p95_s = float(np.nanpercentile(latency_s, 95)) if not np.isnan(latency_s).all() else float("nan")
            scale = max(figures.offered, LEAST_OFFERED * self.crowd.servers)
            swing_of_all = swing(smoothed(total[len(total) // 2 :, None]), scale)
            beyond = total.max() - figures.offered if figures.offered > before else figures.offered - total.min()
            reports.append(StepReport(figures, p95_s, swing_of_all, max(0.0, float(beyond / scale))))
            before = figures.offered
        return tuple(reports)

    def as_plain(self) -> dict[str, Any]:
        """Give figures and samples as JSON."""
        crowd = self.crowd
        return {
            "agents": crowd.agents,
            "servers": crowd.servers,
            "fps": crowd.device.fps,
            "deadline_ms": crowd.device.rules.constraints.deadline_s * 1e3,
            "steps": [asdict(step) for step in crowd.steps],
            "runs": {
                way: {
                    "steps": [report.as_plain() for report in self.reports(way)],
                    "others": self.others.get(way),
                    "points": list(samples.points),
                    "offered": np.round(samples.offered, 4).tolist(),
                    "background": np.round(samples.background, 4).tolist(),
                    "utilisation": np.round(samples.utilisation, 4).tolist(),
                    "waiting": np.round(samples.waiting, 2).tolist(),
                    "mean_latency_ms": _means_ms(samples),
                }
                for way, samples in self.samples.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CrowdOutcome:
    """What was simulated and played; ``real`` is None where nothing was."""

    device: str
    loads: Loads
    virtual: CrowdPlayed
    real: CrowdPlayed | None

    @property
    def played(self) -> dict[str, CrowdPlayed]:
        """What there is, by how it was played."""
        return {"virtual": self.virtual} | ({"real": self.real} if self.real is not None else {})

    def as_plain(self) -> dict[str, Any]:
        """Give all as JSON."""
        return {
            "device": self.device,
            "machine": asdict(self.loads),
            "wanted": {"swing": SWING_WANTED, "oscillates": False},
            **{name: played.as_plain() for name, played in self.played.items()},
        }


def _means_ms(samples: CrowdSamples) -> list[float | None]:
    return [
        None if np.isnan(second).all() else round(float(np.nanmean(second)) * 1e3, 2) for second in samples.latency_s
    ]
