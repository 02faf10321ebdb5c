"""One session, from settings to summary: find the bundle, make it ready, run the agent, say how it went."""

import asyncio
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from typing import Any

from device_agent.agent import Agent, agent_version
from device_agent.answer import emulation_fields
from device_agent.bundle_cache import BundleCache
from device_agent.bundle_finder import BundleFinder, Found
from device_agent.frame_feed import FrameFeed
from device_agent.http_fetch import HttpFetch
from device_agent.loaded_bundle import LoadedBundle
from device_agent.observers import Observers, open_observers
from device_agent.policy import check_policy
from device_agent.process_facts import resident_mb
from device_agent.reports import AllReports, JsonReport, Report, open_out, stdout_report
from device_agent.settings import AgentSettings
from device_agent.sources import SourceSpec, open_source, parse_source


def run_session(settings: AgentSettings) -> None:
    """Run an agent until its source ends, blocking; the summary is the last thing said.

    Raises IsthmusError if it cannot begin, or cannot go on.
    """
    spec = parse_source(settings.source)
    _import_ahead(spec)
    with ExitStack() as stack:
        file = stack.enter_context(open_out(settings.out)) if settings.out is not None else None
        observers = open_observers(settings, stack)
        events = _Events()
        fetch = HttpFetch(settings.server)
        finder = BundleFinder(settings.server, BundleCache(settings.cache), fetch, events.emit)
        found = _find(finder)
        loaded = _load(settings, found)
        # Not before: a live table must not draw over the progress bar of the fetch.
        report = AllReports(
            [
                stdout_report(settings.report),
                *([JsonReport(file)] if file is not None else []),
                *observers.reports,
            ]
        )
        events.begin(report)
        events.emit("agent.started", _started(settings, found, loaded))
        agent = Agent(_paced(settings, spec), loaded, finder, fetch, report, events.emit)
        _answer(settings, spec, found, agent, report, observers)


class _Events:
    """Keeps what happens before there is a report to tell."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []
        self._report: Report | None = None

    def emit(self, name: str, fields: dict[str, Any]) -> None:
        """Tell the report, now or when it begins."""
        plain = {"event": name, "unix_s": round(time.time(), 6), **fields}
        if self._report is None:
            self._kept.append(plain)
        else:
            self._report.event(plain)

    def begin(self, report: Report) -> None:
        """Tell what was kept, and everything from now on."""
        self._report = report
        for plain in self._kept:
            report.event(plain)


def _paced(settings: AgentSettings, spec: SourceSpec) -> AgentSettings:
    """Have the rules know how soon the next frame of a live source comes."""
    if not (settings.live or spec.is_live) or settings.fps == 0:
        return settings
    return replace(settings, rules=replace(settings.rules, live_every_s=1 / settings.fps))


def _find(finder: BundleFinder) -> Found:
    if not sys.stderr.isatty():
        return finder.first(lambda _done_bytes, _total_bytes: None)
    # Drawing takes a tenth of a second to import.
    from device_agent.screen import fetch_bar

    with fetch_bar() as hear:
        return finder.first(hear)


def _load(settings: AgentSettings, found: Found) -> LoadedBundle:
    check_policy(settings.rules.policy, [(option.point, option.rate) for option in found.bundle.manifest.options])
    return LoadedBundle.load(found.bundle, cache=settings.cache, threads=settings.threads, emulation=settings.emulation)


def _answer(
    settings: AgentSettings, spec: SourceSpec, found: Found, agent: Agent, report: Report, observers: Observers
) -> None:
    endless = settings.loop or settings.frames is not None
    source = open_source(spec, fps=settings.fps, endless=endless)
    frames = source.frames(found.bundle.manifest.input)
    feed = FrameFeed(frames, live=spec.is_live, paced=settings.fps > 0, skip_late=settings.live)
    if observers.metrics is not None:
        observers.metrics.watch(
            link=agent.link_view, skipped=lambda: feed.skipped, late_dropped=lambda: agent.late_dropped
        )
    try:
        asyncio.run(_until_stopped(agent, feed, found))
    finally:
        report.summary(
            agent.tally.as_plain(
                late_dropped=agent.late_dropped,
                skipped=dict(feed.skipped),
                switches=agent.switches,
                rss_mb=resident_mb(),
            )
        )


async def _until_stopped(agent: Agent, feed: FrameFeed, found: Found) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, agent.stop)
    await agent.run(feed, found.loads, link_up=found.reached)


def _started(settings: AgentSettings, found: Found, loaded: LoadedBundle) -> dict[str, Any]:
    return {
        "agent": agent_version(),
        "device": settings.device_id,
        "server": settings.server.http_base,
        "source": settings.source,
        "policy": str(settings.rules.policy),
        "bundle": found.bundle.digest,
        "backbone": found.bundle.manifest.backbone,
        "points": list(found.bundle.points),
        **emulation_fields(loaded.emulated),
    }


def _import_ahead(spec: SourceSpec) -> None:
    """Import what is heavy while the first bytes travel; whoever needs it first waits for the rest of it."""
    names = ["onnxruntime"] + ([] if spec.kind == "folder" else ["av"])

    def work() -> None:
        for name in names:
            import_module(name)

    # No daemon: a process that ends in the middle of loading a C++ library aborts.
    threading.Thread(target=work, name="isthmus-imports").start()
