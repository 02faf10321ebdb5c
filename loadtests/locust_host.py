"""Real agents for Locust: one process that runs many, and says in JSON lines what becomes of every frame.

Locust replaces sockets and threads by its own, so the agent's event loop and the head's threads live here. Commands
come as JSON lines on standard input: ``{"do": "start", "agent": …, "device": …, "link": …}``, ``{"do": "stop",
"agent": …}`` and ``{"do": "background", "link": …, "mbps": …}``. Owns the agents, the links before them, and the
frames of the clip, which are decoded once.
"""

import asyncio
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from device_agent.addresses import ServerAddress, parse_server
from device_agent.agent import Agent
from device_agent.answer import FrameAnswer, option_name
from device_agent.bundle_cache import BundleCache
from device_agent.bundle_finder import BundleFinder, Found
from device_agent.emulation import Emulation
from device_agent.energy import energy_of
from device_agent.frame_feed import FrameFeed
from device_agent.http_fetch import HttpFetch
from device_agent.loaded_bundle import LoadedBundle
from device_agent.logs import log_to_stderr
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules
from device_agent.settings import AgentSettings, find_token
from device_agent.sources import Pixels, SourceFrame
from loadtests.clips import clip_path
from loadtests.light_clip import FRAMES, clip_frames
from loadtests.link_script import LinkScript
from loadtests.locust_settings import LocustSettings
from loadtests.relay import Relay, play
from wire.errors import IsthmusError
from wire.ids import DeviceId

FIRST: Final = "locust-0"
"""The agent by whose token the bundle is fetched."""
DELAY_S: Final = 0.005
"""Of every emulated link, one way."""
LINK_EVERY_S: Final = 1.0


@click.command()
@click.option("--server", required=True)
def main(server: str) -> None:
    """Run agents as standard input says, until it ends; all other settings are the environment's."""
    try:
        log_to_stderr(logging.WARNING)
        settings = LocustSettings.read()
        host = AgentHost(settings, parse_server(server))
        asyncio.run(host.run())
    except IsthmusError as error:
        _say({"event": "host.failed", "error": str(error), "mend": error.mend})
        sys.exit(error.exit_code)


class AgentHost:
    """The agents of one Locust process."""

    def __init__(self, settings: LocustSettings, server: ServerAddress) -> None:
        """Fetch the bundle, profile this machine where nobody has, and decode the clip's frames; blocks.

        Raises:
            ClusterUnreachable: the cluster does not answer.
            SourceError: there is no such clip.
            SettingError: the first agent has no token, where there is a folder of them.
        """
        self._settings, self._server = settings, server
        first = self._shown(server, FIRST)
        self._fetch = HttpFetch(first)
        self._finder = BundleFinder(first, BundleCache(settings.cache), self._fetch, _emit)
        self._found: Found = self._finder.first(lambda _done, _total: None)
        clip = Path(settings.clip) if Path(settings.clip).is_file() else clip_path(settings.clip)  # type: ignore[arg-type]
        self._pixels = clip_frames(self._found.bundle, clip, FRAMES)
        # Here, while nobody is there yet who would spoil the profile, and not in every agent at once.
        LoadedBundle.load(self._found.bundle, cache=settings.cache, threads=1, emulation=Emulation())
        self._wanted: set[str] = set()
        self._agents: dict[str, Agent] = {}
        self._relays: dict[str, Relay] = {}

    async def run(self) -> None:
        """Do what standard input says, until it ends."""
        lines = await _standard_input()
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            own = []
            for name, text in self._settings.links.items():
                script = LinkScript.parse(text, delay_s=DELAY_S)
                upstream = (self._server.host, self._server.port)
                relay = await stack.enter_async_context(Relay(upstream, state=script.state_at(0)))
                self._relays[name] = relay
                own.append(tasks.create_task(play(relay, script)))
            own.append(tasks.create_task(self._tell_links()))
            _say({"event": "host.ready", "links": list(self._relays)})
            while line := await lines.readline():
                order = json.loads(line)
                match order["do"]:
                    case "start":
                        self._wanted.add(order["agent"])
                        tasks.create_task(self._agent(order["agent"], order["device"], order["link"]))
                    case "stop":
                        self._stop(order["agent"])
                    case "background" if order["link"] in self._relays:
                        self._relays[order["link"]].set_background(mbps_up=order["mbps"], mbps_down=0.0)
            for name in tuple(self._wanted):
                self._stop(name)
            for task in own:
                task.cancel()

    def _stop(self, name: str) -> None:
        self._wanted.discard(name)
        if (agent := self._agents.get(name)) is not None:
            agent.stop()

    async def _agent(self, name: str, device: str, link: str) -> None:
        bundle = self._found.bundle
        try:
            settings = self._agent_settings(name, device, link)
            loaded = await asyncio.to_thread(
                LoadedBundle.load, bundle, cache=settings.cache, threads=1, emulation=settings.emulation
            )
            if name not in self._wanted:
                return  # it was told to stop while it was made ready
            agent = Agent(settings, loaded, self._finder, self._fetch, _HostReport(name, device, link), _emit)
            self._agents[name] = agent
            feed = FrameFeed(_frames(self._pixels, settings.fps), live=False, paced=True)
            await agent.run(feed, self._found.loads, link_up=self._found.reached)
        except IsthmusError as error:
            _say({"event": "agent.failed", "agent": name, "error": str(error)})
        finally:
            self._agents.pop(name, None)

    def _agent_settings(self, name: str, device: str, link: str) -> AgentSettings:
        given = self._settings
        relay = self._relays.get(link)
        rules = Rules(
            policy=parse_policy(given.policy),
            constraints=Constraints(most_drop=given.max_drop / 100, deadline_s=given.deadline_ms / 1e3),
        )
        server = self._server if relay is None else replace(self._server, host=relay.address[0], port=relay.address[1])
        return AgentSettings(
            server=self._shown(server, name),
            source="locust",
            cache=given.cache,
            device_id=DeviceId(name),
            rules=rules,
            link=rules.policy.link_estimate,
            energy=energy_of(device, "none", None),
            emulation=Emulation(device),
            fps=given.fps,
        )

    def _shown(self, server: ServerAddress, name: str) -> ServerAddress:
        """Give an address with what an agent shows there; raises SettingError if its token cannot be read."""
        if self._settings.tokens is None:
            return server
        return replace(server, token=find_token(self._settings.tokens / name), device=DeviceId(name))

    async def _tell_links(self) -> None:
        """Say once a second what each link carried, for the agents and for the background."""
        while True:
            await asyncio.sleep(LINK_EVERY_S)
            for name, relay in self._relays.items():
                _say(
                    {
                        "event": "link", "link": name, "bytes_up": relay.bytes_up, "bytes_down": relay.bytes_down,
                        "background_bytes": relay.background_up.delivered_bytes,
                        "background_mbps": relay.background_up.rate_mbps,
                    }
                )  # fmt: skip


class _HostReport:
    """Says what Locust counts of each frame."""

    def __init__(self, agent: str, device: str, link: str) -> None:
        self._about = {"event": "frame", "agent": agent, "device": device, "link": link}

    def frame(self, answer: FrameAnswer) -> None:
        """Say one answer."""
        _say(
            {
                **self._about, "latency_ms": answer.latency_s * 1e3, "where": answer.where,
                "option": option_name(answer.option), "planned": option_name(answer.planned),
                "fallback": answer.fallback, "bytes": answer.moved_bytes, "in_time": answer.in_time,
                "unix_s": answer.due_unix_s,
            }
        )  # fmt: skip

    def event(self, plain: dict[str, Any]) -> None:
        """Leave events out: Locust counts frames."""

    def summary(self, plain: dict[str, Any]) -> None:
        """Leave the summary out: Locust makes its own."""


def _frames(pixels: tuple[Pixels, ...], fps: float) -> Iterator[SourceFrame]:
    for number, frame in enumerate(itertools.cycle(pixels)):
        yield SourceFrame(number / fps, frame)


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _emit(name: str, fields: dict[str, Any]) -> None:
    _say({"event": name, "unix_s": round(time.time(), 6), **fields})


def _say(plain: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(plain) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
