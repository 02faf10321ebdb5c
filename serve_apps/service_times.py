"""What a batch is expected to take, learned from those before it: a first frame, and so much for each further one.

Owns the estimate of one cluster graph. Pure: times are given, not taken.
"""

from typing import Final

FIRST_ALONE_S: Final = 0.01
"""Assumed of a frame alone until a batch was seen."""
FIRST_RATIO: Final = 0.6
"""A further frame over the first one, until batches of several sizes were seen; of Lite0's tails on a CPU."""
MEMORY: Final = 1 / 24
"""Share of the newest batch in an average, once there are as many; what shares the machine comes and goes."""
OUTLIER: Final = 4.0
"""A batch counts as at most so many times what was expected of it: a pause of the machine is no service time."""
LEARNED: Final = 8
"""Batches after which there is something to call an outlier of."""
MOST_SPREAD: Final = 0.5
"""One batch deviates by no more: on a machine that stalls now and then, nearly everything would be refused."""
SPREAD_FRAMES: Final = 0.5
"""Variance of the sizes of batches, in frames², that counts as much as what was known of the ratio before."""


class ServiceTimes:
    """Weighted least squares of seconds over frames, newer batches weighing more.

    ``seconds(n) = alone + (n - 1) * further``. While all batches are of one size, the data say nothing of how the two
    relate, and the ratio known before is kept (a ridge towards it).
    """

    def __init__(self, *, alone_s: float = FIRST_ALONE_S, ratio: float = FIRST_RATIO) -> None:
        self._ratio = ratio
        self._mean_frames, self._mean_s = 1.0, alone_s
        self._variance = self._covariance = 0.0
        self._seen = 0
        self.further_s = alone_s * ratio
        self.alone_s = alone_s
        self.spread = 0.0
        """Mean deviation of a batch from what was expected of it, as a share of that."""

    def note(self, frames: int, seconds: float) -> None:
        """Learn from one batch."""
        expected_s = self.expected_s(frames)
        if self._seen >= LEARNED:
            seconds = min(seconds, OUTLIER * expected_s)
        self._seen += 1
        weight = max(MEMORY, 1 / self._seen)
        off_frames, off_s = frames - self._mean_frames, seconds - self._mean_s
        self._mean_frames += weight * off_frames
        self._mean_s += weight * off_s
        self._variance = (1 - weight) * (self._variance + weight * off_frames**2)
        self._covariance = (1 - weight) * (self._covariance + weight * off_frames * off_s)
        self._fit()
        if self._seen > 1 and expected_s > 0:
            off = min(abs(seconds / expected_s - 1), MOST_SPREAD)
            self.spread += max(MEMORY, 1 / (self._seen - 1)) * (off - self.spread)

    def begin(self, *, alone_s: float, frames: int, seconds: float) -> None:
        """Begin anew with what one frame alone takes, and a batch of more; no batch to come upsets that by itself."""
        self._seen, self.spread = round(1 / MEMORY), 0.0
        self._mean_frames, self._mean_s = (1 + frames) / 2, (alone_s + seconds) / 2
        self._variance = ((frames - 1) / 2) ** 2
        self._covariance = (frames - 1) / 2 * (seconds - alone_s) / 2
        self._fit()

    def expected_s(self, frames: int, *, deviations: float = 0.0) -> float:
        """Give what a batch takes; with ``deviations``, so many mean deviations more."""
        return (self.alone_s + (frames - 1) * self.further_s) * (1 + deviations * self.spread)

    def most_frames(self, within_s: float, *, deviations: float = 0.0) -> float:
        """Give how many frames a batch may have to be done within so many seconds; below 1, not even one."""
        allowed_s = within_s / (1 + deviations * self.spread)
        if allowed_s < self.alone_s:
            return 0.0
        return 1 + (allowed_s - self.alone_s) / self.further_s if self.further_s > 0 else float("inf")

    def _fit(self) -> None:
        guess = self._mean_s * self._ratio / (1 + (self._mean_frames - 1) * self._ratio)
        further = (self._covariance + SPREAD_FRAMES * guess) / (self._variance + SPREAD_FRAMES)
        # A frame more costs something from nothing up to what the first one does.
        self.further_s = min(max(further, 0.0), self._mean_s / self._mean_frames)
        self.alone_s = self._mean_s - (self._mean_frames - 1) * self.further_s
        self._ratio = self.further_s / self.alone_s if self.alone_s > 0 else FIRST_RATIO
