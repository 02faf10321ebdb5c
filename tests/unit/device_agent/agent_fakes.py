"""What the tests of the agent's core talk to instead of a bundle, a device and a link."""

import asyncio
import hashlib
import threading
import time

import numpy as np

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.decider import Decider
from device_agent.energy import EnergyModel
from device_agent.head import Encoded, LocalAnswer
from device_agent.link_estimate import make_link
from device_agent.link_view import LinkView
from device_agent.loaded_bundle import LoadedBundle
from device_agent.option_costs import OptionCosts
from device_agent.rules import Constraints, Rules
from device_agent.run_stop import RunStop, RunStopped
from wire.bundle import Bundle
from wire.ids import OptionId, PointName
from wire.manifest import MANIFEST_SCHEMA, FileEntry, Input, Macs, Manifest, Measured, Option, digest_of
from wire.messages import LoadSignal, Result, Timings

LABELS = b"cat\ndog\nowl\n"
PICTURE = np.zeros((1, 8, 8, 3), np.uint8)


def option(number: int, name: str, *, bytes_mean: float = 100.0, drop: float = 0.0, looks: float = 1.0) -> Option:
    """An option of the name POINT/RATE; at the point ``output`` it sends nothing."""
    point, _, rate = name.partition("/")
    measured = Measured(
        dataset="none", pictures=0, top1=0.5, top1_drop=drop, top5=0.9, top5_drop=drop, agreement=1.0,
        bytes_mean=bytes_mean, bytes_p95=bytes_mean, looks_mean=looks,
    )  # fmt: skip
    sends = point != "output"
    return Option(
        id=OptionId(number), point=PointName(point), codec="c", rate=rate, coder="raw" if sends else "none",
        shape=(3, 8, 8) if sends else (1, 1, 1), device_graph="head.onnx",
        cluster_graph="tail.onnx" if sends else None, tables=None, gains=None, quality=None, macs=Macs(1, 1, 1, 1),
        measured=measured,
    )  # fmt: skip


def load(point: str, *, service_s: float = 0.02, queue_s: float = 0.01, state: str = "ready") -> LoadSignal:
    return LoadSignal(
        point=PointName(point), state=state, service_s=service_s, queue_s=queue_s, utilisation=0.1, in_flight=0,
        replicas=1,
    )  # fmt: skip


def result(option_id: OptionId, label: int, scores: tuple[float, ...], *, of_load: LoadSignal) -> Result:
    timings = Timings(decode_s=0.0, queue_s=0.0, compute_s=0.0, total_s=0.004)
    return Result(
        frame_id=7, option_id=option_id, labels=(label, 2 - label, 1)[: len(scores)], scores=scores, batch_size=1,
        timings=timings, load=of_load,
    )  # fmt: skip


def make_decider(options: tuple[Option, ...], costs: OptionCosts, rules: Rules, **changes) -> Decider:
    """Nothing is bounded by the hour, energy is free and the link as it was at the end of the last run."""
    fields = {
        "link": make_link("harmonic", LinkView(0.0, 1e-6)),
        "cluster": ClusterView(),
        "energy": EnergyModel(),
        "bytes_left": Allowance(Constraints().bytes_per_hour, now_s=0.0),
        "joules_left": Allowance(Constraints().joules_per_hour, now_s=0.0),
    }
    return Decider(options=options, costs=costs, rules=rules, **(fields | changes))


class FakeTransport:
    """The seam of the link: keeps what was sent, and leaves to a test what becomes of it."""

    def __init__(self, *loads: LoadSignal) -> None:
        self.link = make_link("kalman")
        self.link.note_round_trip(0.002, now_s=time.monotonic())
        self.cluster = ClusterView()
        self.cluster.note_loads(loads, now_s=time.monotonic())
        self.probe_bytes = 0
        self.down = asyncio.Event()
        self.sent: list[tuple[OptionId, int, bytes]] = []
        self.opened = {load.point for load in loads}
        self.opened_ahead: list[PointName] = []

    def open_ahead(self, point: PointName) -> None:
        """Note which stream was wanted."""
        self.opened_ahead.append(point)

    async def exchange(self, point, option_id, frame_id, bitstream, *, until_s, silent_since_s=None):
        raise NotImplementedError

    def give_up(self, frame_id: int) -> None:
        """Wait no longer for a frame."""


class FakeHead:
    """The seam of the device: counts its runs; the whole network says owl, once it is let go."""

    def __init__(self, local: Option, symbols: np.ndarray | None = None) -> None:
        self.local = local
        self.local_is_warm = True
        self.stopped = 0
        """Runs of the whole network that were ended early."""
        self.runs = {"head": 0, "refine": 0, "whole": 0}
        self.warmed: list[Option] = []
        self.answering = threading.Event()
        """The whole network has begun."""
        self.let_go = threading.Event()
        self.let_go.set()
        self._symbols = symbols

    def warm(self, option, pixels) -> None:
        self.warmed.append(option)

    def encode(self, option, pixels) -> Encoded:
        self.runs["head"] += 1
        return Encoded(b"look 0", device_s=0.020, code_s=0.002, warm_s=0.0, symbols=self._symbols)

    def refine(self, option, encoded, look) -> Encoded:
        assert option.refinements
        assert encoded.symbols is self._symbols
        self.runs["refine"] += 1
        return Encoded(b"look %d" % look, device_s=0.0, code_s=0.003, warm_s=0.0, symbols=encoded.symbols)

    def answer(self, pixels, stop: RunStop | None = None) -> LocalAnswer:
        stop = stop or RunStop()
        stop.begin()
        self.runs["whole"] += 1
        self.answering.set()
        try:
            while not self.let_go.is_set():
                stop.sleep(0.001)
        except RunStopped:
            self.stopped += 1
            raise
        stop.end()
        return LocalAnswer((2,), (0.9,), 0.05, 0.0)


def load_bundle(folder, options: tuple[Option, ...], head: FakeHead, device_s: dict[OptionId, float]) -> LoadedBundle:
    """A bundle of labels alone."""
    (folder / "labels.txt").write_bytes(LABELS)
    entry = FileEntry("labels.txt", hashlib.sha256(LABELS).hexdigest(), len(LABELS), "both")
    manifest = Manifest(
        schema=MANIFEST_SCHEMA, backbone="tiny", created_by="tests", input=Input(8, 8, 8), labels="labels.txt",
        baseline_top1=0.0, options=options, files=(entry,),
    )  # fmt: skip
    bundle = Bundle(folder, manifest, digest_of(b""), "device")
    return LoadedBundle(bundle, head, OptionCosts(options, device_s))
