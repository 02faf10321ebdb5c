"""How long and how hard a codec is trained. Owns the record alone; what a recipe adds of its own stands there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What the user may choose; a recipe may leave out either of the two stages."""

    reconstruct_epochs: int = 4
    distil_epochs: int = 12
    views: int = 2
    """Random crops of each picture."""
    batch: int = 32
    learning_rate: float = 3e-3
    clip: float | None = None
    """Greatest norm of a gradient; a shallow point's, which comes through the whole tail, needs one."""
    average: float | None = None
    """Share of the old in the moving average of the weights, below 1; the average is then what is kept."""
    seed: int = 0
