"""What the samples of a crowd come to after each step of the load: how soon it settled, how much it swings still."""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from loadtests.crowd_simulation import SAMPLE_S, Crowd, CrowdSamples

SWING_WANTED: Final = 0.10
"""Of the offered load after settling, as a share of its mean."""
LEAST_OFFERED: Final = 0.05
"""Of what one server can do in a second: a crowd that has left all but alone does not swing by sending a frame."""
SMOOTHED_S: Final = 5.0
"""Loads are means over so long: a frame that took three looks is no swing."""
PEAK_WANTED: Final = 0.4
"""Autocorrelation of a swing that goes on and on; that of a wandering load has no such peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """One step; all but ``settle_s`` are of its second half."""

    begins_s: float
    background_share: float
    settle_s: float | None
    """From the beginning of the step until the offered load, of all points together, stays within ``SWING_WANTED`` of
    the mean that it comes to; None if it never does."""
    offered: float
    """Mean seconds of service that the crowd asks for, a second."""
    swing: float
    """Half the distance between the most and the least offered load, of all points or of one, by ``offered``.

    That is taken to be at least ``LEAST_OFFERED`` of the servers.
    """
    oscillates: bool
    """Whether it swings by more than is wanted, with a period."""
    utilisation: float
    waiting: float
    latency_s: float
    """Mean of the agents' means."""
    fairness: float
    """Jain's index of the agents' mean latencies: 1 where all are alike, 1 / agents where one bears it all."""
    on_device: float
    """The share of frames that the devices answered."""


def crowd_figures(crowd: Crowd, samples: CrowdSamples) -> tuple[StepFigures, ...]:
    """Give the figures of every step."""
    ends_s = list(itertools.accumulate(step.seconds for step in crowd.steps))
    figures = []
    for step, end_s in zip(crowd.steps, ends_s, strict=True):
        begins_s = end_s - step.seconds
        of_step = slice(round(begins_s / SAMPLE_S), round(end_s / SAMPLE_S))
        half = slice((of_step.start + of_step.stop) // 2, of_step.stop)
        # Of each point, and of them all.
        offered = np.column_stack([samples.offered, samples.offered.sum(axis=1)])
        smooth = smoothed(offered[half])
        mean = float(offered[half, -1].mean())
        scale = max(mean, LEAST_OFFERED * crowd.servers)
        with np.errstate(invalid="ignore"):
            means_s = _means(samples.latency_s[half])
        figures.append(
            StepFigures(
                begins_s=begins_s,
                background_share=step.background_share,
                settle_s=_settle_s(offered[of_step, -1:], mean, scale),
                offered=mean,
                swing=swing(smooth, scale),
                oscillates=oscillates(smooth, scale),
                utilisation=float(samples.utilisation[half].mean()),
                waiting=float(samples.waiting[half].mean()),
                latency_s=float(means_s.mean()),
                fairness=jain(means_s),
                on_device=float(np.nanmean(samples.on_device[half])),
            )
        )
    return tuple(figures)


def jain(values: NDArray[np.float64]) -> float:
    """Give Jain's fairness index of values of which none is below 0 (Jain, Chiu and Hawe, DEC-TR-301, 1984)."""
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the means over ``SMOOTHED_S`` of (samples, columns), or over all where there are no more."""
    width = min(round(SMOOTHED_S / SAMPLE_S), len(values))
    kernel = np.full(width, 1 / width)
    return np.column_stack([np.convolve(column, kernel, mode="valid") for column in values.T])


def swing(offered: NDArray[np.float64], mean: float) -> float:
    """Give half the greatest distance between most and least of any column, by the mean of all; 0 where nothing is."""
    return float(np.ptp(offered, axis=0).max() / 2 / mean) if mean > 0 else 0.0


def oscillates(offered: NDArray[np.float64], mean: float) -> bool:
    """Tell whether the column that swings most does so by more than ``SWING_WANTED``, early and late and in step."""
    half = len(offered) // 2
    if not half or min(swing(part, mean) for part in (offered[:half], offered[half:])) <= SWING_WANTED:
        return False
    column = offered[:, np.ptp(offered, axis=0).argmax()]
    deviation = column - column.mean()
    correlation = np.correlate(deviation, deviation, mode="full")[len(deviation) - 1 :]
    # Long lags have few samples: each is weighed by its own number.
    correlation = correlation / np.arange(len(deviation), 0, -1)
    correlation = correlation[: 2 * len(deviation) // 3] / correlation[0]
    crossed = np.flatnonzero(correlation < 0)
    return bool(len(crossed) and correlation[crossed[0] :].max() > PEAK_WANTED)


def _settle_s(offered: NDArray[np.float64], final: float, scale: float) -> float | None:
    smooth = smoothed(offered)
    off = np.abs(smooth - final).max(axis=1) > SWING_WANTED * scale
    if not off.any():
        return 0.0
    last = int(np.flatnonzero(off)[-1])
    return None if last + 1 == len(off) else (last + 1) * SAMPLE_S + SMOOTHED_S


def _means(latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each agent's mean; one that was answered nothing in all this time waits at least that long."""
    nothing = np.isnan(latency_s).all(axis=0)
    filled = np.where(nothing, len(latency_s) * SAMPLE_S, latency_s)
    return np.asarray(np.nanmean(filled, axis=0))
