"""A real frame through every partition point: the device's half here, the data plane, the tail, and back."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from device_agent.device_profile import picture_for
from device_agent.doctor.checks import Say
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.finding import Finding
from device_agent.doctor.frame_exchange import Exchange, Exchanged
from device_agent.doctor.frame_faults import meaning
from device_agent.doctor.wake import SETTLE_S, Waker
from device_agent.folder_source import read_picture
from device_agent.head import Encoded, HeadRuntime
from device_agent.sources import Pixels
from wire.bundle import Bundle
from wire.errors import ClusterUnreachable, IsthmusError, MalformedMessage, Overloaded, UnknownPoint
from wire.ids import DeviceId, PointName
from wire.manifest import Option
from wire.messages import Frame, Hello, Result

RETRY_S: Final = 0.5

MakeHead = Callable[[Bundle], HeadRuntime]


class FrameCheck:
    """Sends one frame by the first option of each cluster graph of each point; a point that sleeps is woken first."""

    name = "frame"
    needs = ("bundle", "token")

    def __init__(
        self,
        deployment: Deployment,
        exchange: Exchange,
        waker: Waker,
        *,
        device: DeviceId,
        agent: str,
        budget_s: float,
        picture: Path | None,
        say: Say,
        make_head: MakeHead | None = None,
    ) -> None:
        self._deployment, self._exchange, self._waker = deployment, exchange, waker
        self._device, self._agent, self._budget_s = device, agent, budget_s
        self._picture, self._say = picture, say
        self._make_head = make_head or (lambda bundle: HeadRuntime(bundle, threads=1))

    def run(self) -> Iterator[Finding]:
        """Send; raises BundleError if the bundle cannot be used here, and SourceError for a picture that cannot."""
        bundle = self._bundle
        pixels = self._pixels(bundle)
        head = self._make_head(bundle)
        for point in bundle.points:
            options = _one_a_graph(bundle.options_at(point))
            if not options:
                continue  # at the output nothing is sent
            if self._deployment.loads and self._deployment.load(point) is None:
                sentence = "is in the bundle, but not among the points that this cluster serves"
                yield Finding(self.name, "skipped", sentence, subject=point)
                continue
            self._say(f"{self.name} {point}")
            try:
                yield self._through(point, options, head, pixels)
            except IsthmusError as error:
                sentence, mend = meaning(error)
                yield Finding(self.name, "fail", sentence, mend, subject=point, figures={"code": error.code})

    @property
    def _bundle(self) -> Bundle:
        assert self._deployment.bundle is not None, "the check before this one was well"
        return self._deployment.bundle

    def _pixels(self, bundle: Bundle) -> Pixels:
        expected = bundle.manifest.input
        return picture_for(expected) if self._picture is None else read_picture(self._picture, expected)

    def _through(self, point: PointName, options: tuple[Option, ...], head: HeadRuntime, pixels: Pixels) -> Finding:
        load = self._deployment.load(point)
        woken_s = self._waker.wake(point, load.state) if load is not None else 0.0
        until_s = self._waker.monotonic() + (SETTLE_S if woken_s else 0.0)
        findings = []
        for option in options:
            encoded = head.encode(option, pixels)
            exchanged = self._exchanged(point, option, encoded, until_s)
            findings.append(self._answered(point, option, encoded, exchanged, woken_s))
        first = findings[0]
        if len(findings) == 1:
            return first
        return replace(first, sentence=f"{first.sentence}; {len(findings) - 1} more by its other graphs")

    def _exchanged(self, point: PointName, option: Option, encoded: Encoded, until_s: float) -> Exchanged:
        """Send a frame; to a point that was just woken again and again until ``until_s``, for it may not be known."""
        frame = Frame(frame_id=0, option_id=option.id, budget_s=self._budget_s, bitstream=encoded.bitstream)
        hello = Hello(self._device, self._agent, self._bundle.digest)
        while True:
            try:
                return self._exchange(point, hello, frame)
            except (ClusterUnreachable, Overloaded, UnknownPoint):
                if self._waker.monotonic() >= until_s:
                    raise
                self._waker.sleep(RETRY_S)

    def _answered(
        self, point: PointName, option: Option, encoded: Encoded, exchanged: Exchanged, woken_s: float
    ) -> Finding:
        result, names = exchanged.result, self._bundle.labels()
        _check_result(result, option, names)
        device_s = encoded.device_s + encoded.code_s
        cluster_s = result.timings.total_s
        link_s = max(exchanged.round_trip_s - cluster_s, 0.0)
        woken = f"woken in {woken_s:.1f} s; " if woken_s else ""
        sentence = (
            f"{woken}answered in {(device_s + exchanged.round_trip_s) * 1e3:.1f} ms: device {device_s * 1e3:.1f}, "
            f"link {link_s * 1e3:.1f}, cluster {cluster_s * 1e3:.1f}; {exchanged.sent_bytes:,} bytes by {option.rate}; "
            f"{len(result.labels)} classes, best {names[result.labels[0]]!r} {result.scores[0]:.2f}"
        )
        figures = {
            "option": option.id, "rate": option.rate, "replica": exchanged.replica, "sent_bytes": exchanged.sent_bytes,
            "received_bytes": exchanged.received_bytes, "open_ms": _ms(exchanged.open_s), "device_ms": _ms(device_s),
            "round_trip_ms": _ms(exchanged.round_trip_s), "cluster_ms": _ms(cluster_s),
            "queue_ms": _ms(result.timings.queue_s), "woken_s": round(woken_s, 3),
            "labels": [[names[label], score] for label, score in zip(result.labels, result.scores, strict=True)],
        }  # fmt: skip
        return Finding(self.name, "ok", sentence, subject=point, figures=figures)


def _check_result(result: Result, option: Option, names: tuple[str, ...]) -> None:
    """Refuse what is not the answer of this bundle's network to this frame; raises MalformedMessage."""
    if result.option_id != option.id:
        raise MalformedMessage(f"the answer is to option {result.option_id}, and {option.id} was asked")
    if not result.labels or len(result.labels) != len(result.scores):
        raise MalformedMessage(f"the answer has {len(result.labels)} classes and {len(result.scores)} scores")
    if max(result.labels) >= len(names):
        raise MalformedMessage(f"the answer has class {max(result.labels)}, and the bundle {len(names)} classes")


def _one_a_graph(options: tuple[Option, ...]) -> tuple[Option, ...]:
    first: dict[str, Option] = {}
    for option in options:
        if option.cluster_graph is not None:
            first.setdefault(option.cluster_graph, option)
    return tuple(first.values())


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
