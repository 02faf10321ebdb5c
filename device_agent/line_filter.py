"""A Kalman filter of a straight line whose base and slope both change.

Owns the algebra of two states and one observation, in plain floats; knows nothing of links.
"""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class LineFilter:
    """What is known of y = base + slope × x, as means, variances and covariance."""

    base: float
    slope: float
    base_var: float
    slope_var: float
    covariance: float = 0.0

    def at(self, x: float) -> float:
        """Give the y that is expected."""
        return self.base + self.slope * x

    def variance_at(self, x: float) -> float:
        """Give the variance of what is expected, without that of an observation."""
        return max(self.base_var + 2 * x * self.covariance + x * x * self.slope_var, 0.0)

    def observe(self, x: float, y: float, noise_var: float, *, least_slope: float = -math.inf) -> None:
        """Take one observation with noise of this variance, which must be positive.

        Where the slope would fall below ``least_slope``, the whole correction is made smaller; the update is in
        Joseph's form, which holds for any gain and keeps the covariance matrix positive.
        """
        error = y - self.at(x)
        y_var = self.variance_at(x) + noise_var
        base_gain = (self.base_var + x * self.covariance) / y_var
        slope_gain = (self.covariance + x * self.slope_var) / y_var
        if self.slope + slope_gain * error < least_slope:
            scale = (least_slope - self.slope) / (slope_gain * error)
            base_gain, slope_gain = scale * base_gain, scale * slope_gain
        self.base += base_gain * error
        self.slope += slope_gain * error
        # P ← (I − k h) P (I − k h)ᵀ + k r kᵀ, with h = (1, x) and k the two gains.
        p, c, s = self.base_var, self.covariance, self.slope_var
        stay, drag = 1 - base_gain, -base_gain * x
        tilt, hold = -slope_gain, 1 - slope_gain * x
        self.base_var = max(stay * stay * p + 2 * stay * drag * c + drag * drag * s + base_gain**2 * noise_var, 0.0)
        self.covariance = (
            stay * tilt * p + (stay * hold + drag * tilt) * c + drag * hold * s + base_gain * slope_gain * noise_var
        )
        self.slope_var = max(tilt * tilt * p + 2 * tilt * hold * c + hold * hold * s + slope_gain**2 * noise_var, 0.0)
