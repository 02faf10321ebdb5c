"""The agent: takes frames as they fall due, has each answered, and swaps bundles between two frames.

Owns the loop and every task under it. One frame's way is ``answerer``'s.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import structlog

from device_agent.allowance import Allowance
from device_agent.answer import FrameAnswer, Tally
from device_agent.answerer import Answerer
from device_agent.bundle_finder import BundleFinder
from device_agent.cluster_info import Fetch
from device_agent.cluster_view import ClusterView
from device_agent.decider import Decider
from device_agent.frame_feed import DueFrame, FrameFeed
from device_agent.link_estimate import make_link
from device_agent.link_store import LinkStore
from device_agent.link_view import LinkView
from device_agent.loaded_bundle import LoadedBundle
from device_agent.policy import check_policy
from device_agent.power_meter import PowerMeter
from device_agent.power_sensor import PowerSensor
from device_agent.prober import keep_loads, keep_pinging, keep_probing, keep_settling, keep_waking
from device_agent.process_facts import since_start_s
from device_agent.reports import Report
from device_agent.settings import AgentSettings
from device_agent.transport import Transport
from wire.bundle import Bundle
from wire.errors import BundleError, IsthmusError
from wire.ids import PointName
from wire.messages import Hello, LoadSignal
from wire.trace_ids import with_session

_BUNDLE_RETRY_S: Final = 1.0

Emit = Callable[[str, dict[str, Any]], None]

log = structlog.get_logger()


class Agent:
    """One run over one source; ``tally`` says how it went, also after an error."""

    def __init__(
        self,
        settings: AgentSettings,
        loaded: LoadedBundle,
        finder: BundleFinder,
        fetch: Fetch,
        report: Report,
        emit: Emit,
    ) -> None:
        self.tally = Tally(emulated=loaded.emulated)
        self.late_dropped = 0
        self.switches = 0
        self._settings = settings
        self._loaded = loaded
        self._next: LoadedBundle | None = None
        self._finder = finder
        self._fetch = fetch
        self._report = report
        self._emit = emit
        self._stop = asyncio.Event()
        constraints = settings.rules.constraints
        now_s = time.monotonic()
        # A device that is emulated has no sensor of its own.
        sensor = PowerSensor.find() if loaded.emulated is None else None
        self._meter = PowerMeter(sensor) if sensor is not None else None
        self._cluster = ClusterView()
        self._links = LinkStore(settings.cache, settings.server)
        self._link = make_link(settings.link, self._links.load())
        self._bytes_left = Allowance(constraints.bytes_per_hour, now_s=now_s)
        self._joules_left = Allowance(constraints.joules_per_hour, now_s=now_s)

    def stop(self) -> None:
        """End after the frame at hand."""
        self._stop.set()

    def link_view(self) -> LinkView:
        """Give what is known of the link now."""
        return self._link.view(time.monotonic())

    async def run(self, feed: FrameFeed, loads: tuple[LoadSignal, ...], *, link_up: bool) -> None:
        """Answer every frame of the feed; raises SourceError or BundleError, after all is closed."""
        failed: IsthmusError | None = None
        with ThreadPoolExecutor(1, "isthmus-head") as worker:
            async with asyncio.TaskGroup() as tasks:
                transport = Transport(
                    self._settings.server, self._hello(), tasks, self._emit,
                    link=self._link, cluster=self._cluster, link_up=link_up,
                )  # fmt: skip
                self._cluster.note_loads(loads, now_s=time.monotonic())
                background = [tasks.create_task(work) for work in self._background(transport, worker)]
                try:
                    async with feed:
                        await self._answer_all(feed, transport, worker)
                except IsthmusError as error:
                    failed = error
                finally:
                    self.late_dropped = transport.late_dropped
                    for task in background:
                        task.cancel()
                    self._keep_link()
                    await transport.close()
        if failed is not None:
            raise failed

    def _keep_link(self) -> None:
        if self._link.bandwidth_bytes_s is not None:
            self._links.save(self.link_view())

    def _background(self, transport: Transport, worker: ThreadPoolExecutor) -> list[Coroutine[Any, Any, None]]:
        point = self._probed_point()
        if point is None:
            return []
        return [
            keep_probing(transport, point),
            keep_pinging(transport, point),
            keep_settling(transport),
            keep_loads(transport, self._fetch),
            keep_waking(transport, self._fetch),
            self._keep_bundle(transport, worker),
        ]

    async def _answer_all(self, feed: FrameFeed, transport: Transport, worker: ThreadPoolExecutor) -> None:
        decider = self._decider()
        answerer = self._answerer(transport, worker, decider)
        while (due := await self._next_frame(feed)) is not None:
            if self._next is not None:
                self._loaded, self._next = self._next, None
                transport.use_bundle(self._hello())
                decider = self._decider(switches=decider.switches)
                answerer = self._answerer(transport, worker, decider)
                self._emit("bundle.swapped", {"bundle": self._loaded.bundle.digest})
            self.tally.frames += 1
            answer = await answerer.answer(due)
            self.switches, self.late_dropped = decider.switches, transport.late_dropped
            self._note(answer)
            if self.tally.frames == self._settings.frames:
                return
            if self.tally.frames == 1:
                await answerer.prepare_local()
            await answerer.look_ahead(due)

    async def _next_frame(self, feed: FrameFeed) -> DueFrame | None:
        if self._meter is not None:
            self._meter.note_idle()
        return await feed.take(self._stop)

    def _note(self, answer: FrameAnswer) -> None:
        if self.tally.start_s is None:
            sent_ago_s = answer.parts.link + answer.parts.cluster + answer.parts.local
            self.tally.start_s = since_start_s() - sent_ago_s
        self.tally.note(answer)
        if answer.fallback is not None:
            log.info("frame.fallback", frame=answer.frame, fallback=answer.fallback, planned=answer.planned.id)
        self._report.frame(answer)

    async def _keep_bundle(self, transport: Transport, worker: ThreadPoolExecutor) -> None:
        """Whenever a replica says that our bundle is not its own, get the right one ready."""
        loop = asyncio.get_running_loop()
        while True:
            await transport.wrong_bundle.wait()
            try:
                bundle = await asyncio.to_thread(self._finder.current, _hear_nothing)
                if bundle.digest != self._loaded.bundle.digest:
                    self._check_swap(bundle)
                    self._next = await loop.run_in_executor(worker, self._load, bundle)
            except IsthmusError as error:
                log.warning("bundle.swap_failed", error=str(error))
            await asyncio.sleep(_BUNDLE_RETRY_S)

    def _load(self, bundle: Bundle) -> LoadedBundle:
        settings = self._settings
        return LoadedBundle.load(bundle, cache=settings.cache, threads=settings.threads, emulation=settings.emulation)

    def _check_swap(self, bundle: Bundle) -> None:
        check_policy(self._settings.rules.policy, [(o.point, o.rate) for o in bundle.manifest.options])
        if bundle.manifest.input != self._loaded.bundle.manifest.input:
            raise BundleError("the new bundle takes frames of another size", mend="start the agent again")

    def _decider(self, *, switches: int = 0) -> Decider:
        settings, loaded = self._settings, self._loaded
        return Decider(
            options=loaded.bundle.manifest.options,
            costs=loaded.costs,
            link=self._link,
            cluster=self._cluster,
            rules=settings.rules,
            energy=settings.energy,
            bytes_left=self._bytes_left,
            joules_left=self._joules_left,
            # Devices of other names draw other numbers, so that a crowd does not move as one.
            seed=zlib.crc32(settings.device_id.encode()),
            switches=switches,
        )

    def _answerer(self, transport: Transport, worker: ThreadPoolExecutor, decider: Decider) -> Answerer:
        return Answerer(self._loaded, transport, worker, decider, self._meter)

    def _hello(self) -> Hello:
        settings, name = self._settings, f"isthmus-agent/{agent_version()}"
        if settings.trace is not None:
            name = with_session(name, settings.session)
        return Hello(settings.device_id, name, self._loaded.bundle.digest)

    def _probed_point(self) -> PointName | None:
        """Give the point to knock at while the link is down; None if nothing is ever sent."""
        policy = self._settings.rules.policy
        sending = [o.point for o in self._loaded.bundle.manifest.options if o.coder != "none"]
        if policy.kind == "device-only" or not sending:
            return None
        return policy.point if policy.point in sending else sending[0]


def agent_version() -> str:
    """Give the version of the distribution."""
    try:
        return version("isthmus")
    except PackageNotFoundError:
        return "unknown"


def _hear_nothing(_done_bytes: int, _total_bytes: int) -> None:
    """Hear of a fetch that nobody watches."""
