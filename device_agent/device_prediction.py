"""How long a backbone takes on a device where nobody published it, from what was published of others there.

The model: log t = a[run] + s[run] × log macs + b[network] + c[network, CPU or GPU]. A run is a device under one engine:
``a`` says how slow it is, ``s`` how much it minds multiply-accumulates, ``b`` and ``c`` what a network takes beside its
count of them. Least squares over the published table, with ``b``, ``c`` and the runs' own part of ``s`` held towards 0
(ridge). A backbone in no table lies between those of its family, in log t and log macs, or beyond the last of them; one
without a family is predicted from its multiply-accumulates alone. What was left out of the table was predicted less
well without ``s`` or ``c`` or from macs alone, and no better with terms for families.

The seconds are those of the published engines. What our agent takes, under ONNX Runtime, may be longer: ncnn computes
in half precision where the processor can, as the Raspberry Pi 5's.

Owns the model, its errors, and the slowdown that emulates a device. Reads nothing but the known devices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import Final, Literal

import numpy as np

from device_agent.known_devices import Engine, KnownDevice, known_devices, known_macs
from wire.errors import SettingError

_RIDGE: Final = {"run": 1e-6, "macs": 1e-6, "macs of run": 1.0, "network": 0.3, "network on": 1.0}
"""What each kind of term is held towards 0 by; the errors below change little with them."""
_SAME_SIZE: Final = 1.15
"""A backbone is the table's network of that name if their multiply-accumulates differ by less than this factor."""
_FAMILIES: Final = ("resnet", "vgg", "efficientnet-lite", "efficientnet_b", "mobilenet_v2")
"""How the names of networks of one design begin, which differ in their depth, width or picture alone."""
_FAMILY_POWER: Final = 0.85
"""Beyond a family's last, time grows with this power of the multiply-accumulates: about 0.8 among the Lites, 0.9 to 1.1
among ResNets on most CPUs, less on GPUs. Across families it is 0.6: designs with fewer do more beside them."""
_RANDOM: Final = "-random"
"""What the name of a backbone with random weights ends with."""

Run = tuple[str, Engine]
Term = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One published time."""

    device: str
    engine: Engine
    network: str
    seconds: float

    @property
    def run(self) -> Run:
        """The device and the engine."""
        return self.device, self.engine


@dataclass(frozen=True, slots=True)
class PredictedTime:
    """Seconds of one picture through a whole backbone on a device."""

    seconds: float
    source: Literal["published", "predicted"]
    error_ratio: float
    """Nine of ten times that were left out on this device and predicted so were within this factor, up or down."""
    basis: str
    """The engine, and what the prediction rests on."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A published time, and what is predicted for it without it."""

    cell: Cell
    predicted_s: float

    @property
    def ratio(self) -> float:
        """Predicted over published."""
        return self.predicted_s / self.cell.seconds

    @property
    def error_factor(self) -> float:
        """The same, as a factor of at least 1 whichever is the larger."""
        return max(self.ratio, 1 / self.ratio)


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """The factors that a half and nine tenths of the predictions are within."""

    cells: int
    half_within: float
    nine_tenths_within: float


def predict_s(device: KnownDevice, backbone: str, macs: int | None = None) -> PredictedTime:
    """Give the seconds of a whole backbone on a device; published ones where there are any.

    ``macs`` are the multiply-accumulates of one picture: needed for a backbone that is in no table. A backbone that is
    named like one in the tables, but has another count, is another backbone.

    Raises:
        SettingError: nothing is known of the backbone and ``macs`` is not given, or is not above 0.
    """
    seconds, source, basis = _told(device, backbone, macs)
    error_ratio = 1.0 if source == "published" else _error_ratio(device, _same_network(backbone, macs))
    return PredictedTime(seconds, source, error_ratio, basis)


def emulated_slowdown(device: KnownDevice, backbone: str, own_whole_s: float, macs: int | None = None) -> float:
    """Give the factor by which this machine must be slowed down to be as slow as the device, at least 1.

    ``own_whole_s`` are the seconds that the whole backbone takes on this machine.

    Raises:
        SettingError: this machine is slower than the device, or as for ``predict_s``.
    """
    if not own_whole_s > 0:
        raise SettingError(f"{backbone} cannot take {own_whole_s} s here", mend="give seconds above 0")
    device_s, _, _ = _told(device, backbone, macs)
    if device_s < own_whole_s:
        raise SettingError(
            f"this machine is slower than a {device.name}: {backbone} takes {own_whole_s * 1e3:.1f} ms here and "
            f"{device_s * 1e3:.1f} ms there",
            mend="emulate a slower device, or let graphs take more cores with --threads",
        )
    return device_s / own_whole_s


@cache
def published_cells() -> tuple[Cell, ...]:
    """Give every published time of every known device."""
    return tuple(
        Cell(device.name, engine, network, seconds)
        for device in known_devices()
        for engine, times_s in device.runs.items()
        for network, seconds in times_s.items()
    )


@cache
def leave_one_out(cells: tuple[Cell, ...] | None = None) -> tuple[LeftOut, ...]:
    """Predict each cell from all the others; not the only cell of a run, of which nothing else says how slow it is."""
    cells = published_cells() if cells is None else cells
    return _left_out([(cell, [other for other in cells if other != cell]) for cell in cells])


@cache
def leave_network_out(cells: tuple[Cell, ...] | None = None) -> tuple[LeftOut, ...]:
    """Predict each cell without any of its network: from its family, or from multiply-accumulates alone."""
    cells = published_cells() if cells is None else cells
    return _left_out([(cell, [other for other in cells if other.network != cell.network]) for cell in cells])


def summarise(left: Sequence[LeftOut]) -> ErrorSummary:
    """Give what the errors come to; ``left`` is not empty."""
    half, nine_tenths = np.quantile(np.log([one.error_factor for one in left]), (0.5, 0.9))
    return ErrorSummary(len(left), exp(half), exp(nine_tenths))


def _told(device: KnownDevice, backbone: str, macs: int | None) -> tuple[float, Literal["published", "predicted"], str]:
    """Give seconds, where they are from, and their basis; raises as ``predict_s``. Their error takes far longer."""
    if macs is not None and macs <= 0:
        raise SettingError(f"{backbone} cannot have {macs} multiply-accumulates", mend="give a number above 0")
    network = _same_network(backbone, macs)
    if published := device.published(network):
        return published[1], "published", f"published for {published[0]}"
    size = macs or known_macs().get(network)
    if size is None:
        raise SettingError(
            f"nothing is published of the backbone {backbone!r}",
            mend=f"give its multiply-accumulates, or one of: {', '.join(known_macs())}",
        )
    model = _whole_model()
    times_s = {engine: model.seconds((device.name, engine), network, size) for engine in device.ncnn_engines}
    engine, seconds = min(times_s.items(), key=lambda item: item[1])
    return seconds, "predicted", f"predicted for {engine} from {model.basis(network)}"


def _error_ratio(device: KnownDevice, network: str) -> float:
    # What one time elsewhere tells of a network is worth no more than its multiply-accumulates are.
    left = leave_one_out() if _whole_model().published.count(network) > 1 else leave_network_out()
    return summarise([one for one in left if one.cell.device == device.name]).nine_tenths_within


def _same_network(backbone: str, macs: int | None) -> str:
    name = backbone.removesuffix(_RANDOM)
    listed = known_macs().get(name, macs)
    same = macs is None or listed is None or abs(log(macs / listed)) < log(_SAME_SIZE)
    return name if same else f"{name} of {macs}"


class _Model:
    """What some of the published cells say of every run and network."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.published = [cell.network for cell in cells]
        self._seconds = {(cell.run, cell.network): cell.seconds for cell in cells}
        self._weights = _fit(cells)

    def knows(self, run: Run) -> bool:
        """Tell whether anything was published of a run."""
        return ("run", *run) in self._weights

    def seconds(self, run: Run, network: str, macs: int) -> float:
        """Predict what a network takes, whether it was published for this run or not."""
        relatives = self._relatives(network)
        if not relatives:
            return exp(sum(self._weights.get(term, 0.0) * size for term, size in _terms(run, network, macs).items()))
        sizes = [log(known_macs()[name]) for name in relatives]
        times_s = [self._seconds.get((run, name)) or self.seconds(run, name, known_macs()[name]) for name in relatives]
        nearest = min(max(log(macs), sizes[0]), sizes[-1])
        return exp(np.interp(nearest, sizes, np.log(times_s)) + _FAMILY_POWER * (log(macs) - nearest))

    def basis(self, network: str) -> str:
        """Say what the prediction of a network rests on."""
        if network in self.published:
            return "its times elsewhere"
        return " and ".join(self._relatives(network)) or "its multiply-accumulates alone"

    def _relatives(self, network: str) -> list[str]:
        """Give those of its family, the smallest first, where it was not published itself."""
        family = next((name for name in _FAMILIES if network.startswith(name)), None)
        if network in self.published or family is None:
            return []
        return sorted({name for name in self.published if name.startswith(family)}, key=lambda name: known_macs()[name])


@cache
def _whole_model() -> _Model:
    return _Model(published_cells())


def _left_out(splits: Sequence[tuple[Cell, Sequence[Cell]]]) -> tuple[LeftOut, ...]:
    return tuple(
        LeftOut(cell, model.seconds(cell.run, cell.network, known_macs()[cell.network]))
        for cell, model in ((cell, _Model(others)) for cell, others in splits)
        if model.knows(cell.run)
    )


def _fit(cells: Sequence[Cell]) -> dict[Term, float]:
    rows = [_terms(cell.run, cell.network, known_macs()[cell.network]) for cell in cells]
    column = {term: index for index, term in enumerate(dict.fromkeys(term for row in rows for term in row))}
    matrix = np.zeros((len(rows), len(column)))
    for values, row in zip(matrix, rows, strict=True):
        values[[column[term] for term in row]] = list(row.values())
    logs = np.log([cell.seconds for cell in cells])
    ridge = np.diag([_RIDGE[term[0]] for term in column])
    weights = np.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ logs)
    return dict(zip(column, weights.tolist(), strict=True))


def _terms(run: Run, network: str, macs: int) -> dict[Term, float]:
    size = log(macs / 1e9)
    processor = "gpu" if run[1] == "ncnn-gpu" else "cpu"
    of_run = {("run", *run): 1.0, ("macs",): size, ("macs of run", *run): size}
    return {**of_run, ("network", network): 1.0, ("network on", network, processor): 1.0}
