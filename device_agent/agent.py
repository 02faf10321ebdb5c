"""The agent: takes frames as they fall due, has each answered, and swaps bundles between two frames.

Owns the loop and every task under it. One frame's way is ``answerer``'s.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import structlog

from device_agent.answer import FrameAnswer, Tally
from device_agent.answerer import Answerer
from device_agent.bundle_finder import BundleFinder
from device_agent.cluster_info import Fetch
from device_agent.frame_feed import FrameFeed
from device_agent.loaded_bundle import LoadedBundle
from device_agent.planner import check_policy
from device_agent.prober import keep_loads, keep_pinging, keep_probing
from device_agent.process_facts import since_start_s
from device_agent.reports import Report
from device_agent.settings import AgentSettings
from device_agent.transport import Transport
from wire.bundle import Bundle
from wire.errors import BundleError, IsthmusError
from wire.ids import PointName
from wire.messages import Hello, LoadSignal

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
        self.tally = Tally(slowdown=settings.slowdown)
        self.late_dropped = 0
        self._settings = settings
        self._loaded = loaded
        self._next: LoadedBundle | None = None
        self._finder = finder
        self._fetch = fetch
        self._report = report
        self._emit = emit
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End after the frame at hand."""
        self._stop.set()

    async def run(self, feed: FrameFeed, loads: tuple[LoadSignal, ...], *, link_up: bool) -> None:
        """Answer every frame of the feed; raises SourceError or BundleError, after all is closed."""
        failed: IsthmusError | None = None
        with ThreadPoolExecutor(1, "isthmus-head") as worker:
            async with asyncio.TaskGroup() as tasks:
                transport = Transport(self._settings.server, self._hello(), tasks, self._emit, link_up=link_up)
                transport.note_loads(loads)
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
                    await transport.close()
        if failed is not None:
            raise failed

    def _background(self, transport: Transport, worker: ThreadPoolExecutor) -> list[Coroutine[Any, Any, None]]:
        point = self._probed_point()
        if point is None:
            return []
        return [
            keep_probing(transport, point),
            keep_pinging(transport, point),
            keep_loads(transport, self._fetch),
            self._keep_bundle(transport, worker),
        ]

    async def _answer_all(self, feed: FrameFeed, transport: Transport, worker: ThreadPoolExecutor) -> None:
        answerer = self._answerer(transport, worker)
        while (due := await feed.take(self._stop)) is not None:
            if self._next is not None:
                self._loaded, self._next = self._next, None
                transport.use_bundle(self._hello())
                answerer = self._answerer(transport, worker)
                self._emit("bundle.swapped", {"bundle": self._loaded.bundle.digest})
            self.tally.frames += 1
            answer = await answerer.answer(due)
            self._note(answer)
            if self.tally.frames == self._settings.frames:
                return
            if self.tally.frames == 1:
                await answerer.prepare_local()

    def _note(self, answer: FrameAnswer) -> None:
        if self.tally.start_s is None:
            sent_ago_s = answer.parts.link + answer.parts.cluster + answer.parts.local
            self.tally.start_s = since_start_s() - sent_ago_s
        self.tally.note(answer)
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
        return LoadedBundle.load(bundle, cache=settings.cache, threads=settings.threads, slowdown=settings.slowdown)

    def _check_swap(self, bundle: Bundle) -> None:
        check_policy(self._settings.policy, [(o.point, o.rate) for o in bundle.manifest.options])
        if bundle.manifest.input != self._loaded.bundle.manifest.input:
            raise BundleError("the new bundle takes frames of another size", mend="start the agent again")

    def _answerer(self, transport: Transport, worker: ThreadPoolExecutor) -> Answerer:
        settings = self._settings
        return Answerer(
            self._loaded,
            transport,
            worker,
            policy=settings.policy,
            deadline_s=settings.deadline_s,
            slowdown=settings.slowdown,
        )

    def _hello(self) -> Hello:
        return Hello(self._settings.device_id, f"isthmus-agent/{agent_version()}", self._loaded.bundle.digest)

    def _probed_point(self) -> PointName | None:
        """Give the point to knock at while the link is down; None if nothing is ever sent."""
        policy = self._settings.policy
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
